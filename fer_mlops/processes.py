"""Process settings: exit with the parent process, settings and logs of other libraries."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOST = (
    "the processes of this run were ended: one of them failed (its error is above) or was killed, or "
    "their launcher was stopped; continue with --resume RUN_ID"
)
"""Message when a process group that trains together was ended."""
_LOOK_EVERY = 1.0  # interval between checks for the parent process, in seconds


def num_cores() -> int:
    """Returns the number of cores that this process may use, which a container may have limited."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def exit_with_parent(parent: int) -> None:
    """Starts a thread that ends this process once the parent process with this id is gone."""

    def watch() -> None:
        # asked again and again: children get no signal when their parent is killed with kill -9
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY)
        # at once: sys.exit in a thread ends only the thread
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # we print our own link
    # MLflow's default of 7 retries blocks training for four minutes at each request; one retry is enough
    # for a connection that went stale between two epochs
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    # libgomp, which torch uses on Linux, reads it when torch is loaded. Its threads wait in a busy loop
    # between layers; two trainings on two cores then reached a fifth of one alone, both together
    # (benchmarks/side_by_side.py)
    "GOMP_SPINCOUNT": "1000",
}
# logging level of each library whose lines would repeat this package's own messages at length
_LEVELS = {
    "alembic": logging.WARNING,
    # we report an unreachable server once
    "urllib3": logging.ERROR,
    "mlflow.system_metrics": logging.ERROR,
    # tracebacks after a full disk, and after Ctrl-C during a query
    "mlflow.store.db.utils": logging.CRITICAL,
    "sqlalchemy.pool": logging.CRITICAL,
}


def silence_third_party_logs() -> None:
    """Silences log lines of other libraries that would repeat this package's own messages at length."""
    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    warnings.filterwarnings("ignore", module="PIL")  # we report unreadable images ourselves


def set_up_libraries() -> None:
    """Sets environment variables of libraries where they are unset, and silences their logs."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    silence_third_party_logs()


@contextmanager
def libraries_set_up() -> Iterator[None]:
    """Sets up libraries as ``set_up_libraries`` does, until the block ends; other threads see it too."""
    variables = set(os.environ)
    levels = {name: logging.getLogger(name).level for name in _LEVELS}
    try:
        with warnings.catch_warnings():
            set_up_libraries()
            yield
    finally:
        for name in set(os.environ) - variables:  # torch adds one as well
            os.environ.pop(name, None)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
