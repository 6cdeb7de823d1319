"""Worker-process helpers: exit with the parent process, quiet third-party logs."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings

LOST = (
    "the processes of this run were ended: one of them failed (its error is above) or was killed, or "
    "their launcher was stopped; continue with --resume RUN_ID"
)
"""Message when a process group that trains together was ended."""
_LOOK_EVERY = 1.0
"""Interval between checks for the parent process, in seconds."""


def exit_with_parent(asker: int) -> None:
    """Starts a thread that ends this process once its parent process is gone.

    Children get no signal when their parent is killed with ``kill -9``.

    Args:
        asker: Process id of the parent.
    """

    def watch() -> None:
        while os.getppid() == asker:
            time.sleep(_LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def silence_third_party_logs() -> None:
    """Silences log lines of other libraries that would repeat this package's own messages at length."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for name in ("urllib3", "mlflow.system_metrics"):  # we report an unreachable server once
        logging.getLogger(name).setLevel(logging.ERROR)
    # tracebacks after a full disk, and after Ctrl-C during a query
    for name in ("mlflow.store.db.utils", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="PIL")  # we report unreadable images ourselves
