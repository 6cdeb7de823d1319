"""Run end: sets the final status of a run, undisturbed by signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import mlflow
from mlflow.entities import Run

from fer_mlops.tracking.connection import client

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_run(run_id: str, status: str) -> None:
    """Ends a run with ``status``; no other function of the package does."""
    open_run = mlflow.active_run()
    if open_run and open_run.info.run_id == run_id:
        # also takes the run off MLflow's stack of open runs, which it marks FINISHED when the process
        # ends
        mlflow.end_run(status)
    else:
        client().set_terminated(run_id, status)


def reopen_run(run_id: str) -> None:
    """Marks a run as RUNNING again, because other processes still write to it."""
    client().update_run(run_id, status="RUNNING")


def end_open_runs_below(run_id: str, experiment_id: str, is_orphan: Callable[[Run], bool]) -> int:
    """Marks the orphaned open runs below ``run_id`` as FAILED; returns their number."""
    num_ended = 0
    wanted = f"tags.`mlflow.parentRunId` = '{run_id}' AND attributes.status = 'RUNNING'"
    for child in client().search_runs([experiment_id], wanted):
        own = child.info.run_id
        num_ended += end_open_runs_below(own, experiment_id, is_orphan)
        if is_orphan(child):
            client().set_tag(own, "ended", "its worker is gone")
            end_run(own, "FAILED")
            num_ended += 1
    return num_ended


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignores the signals that stop a process until the block ends."""
    if threading.current_thread() is not threading.main_thread():  # it alone may set handlers
        yield
        return
    before = {kind: signal.signal(kind, signal.SIG_IGN) for kind in _STOPPING}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
