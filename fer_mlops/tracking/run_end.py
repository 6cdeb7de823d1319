"""Run end: sets the final status of a run, undisturbed by signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def end_run(run_id: str, status: str) -> None:
    """Ends a run with ``status``; no other function of the package does.

    The run leaves MLflow's stack of open runs even if the store refuses: when the process ends, MLflow
    marks all runs on that stack FINISHED.

    Raises:
        MlflowException: The store does not respond, or refuses.
    """
    open_run = mlflow.active_run()
    if open_run and open_run.info.run_id == run_id:
        mlflow.end_run(status)
    else:
        MlflowClient().set_terminated(run_id, status)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignores the signals that stop a process until the block ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.signal(kind, signal.SIG_IGN) for kind in _STOPPING}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
