"""Processes that work beside the one that asked, and do not outlive it."""

from __future__ import annotations

import logging
import os
import threading
import time
import warnings

LOST = (
    "this run's processes were ended: one of them failed, with what it said above, was killed, or their "
    "launcher was stopped; go on with --resume RUN_ID"
)
"""Of several processes that train together."""
_LOOK_EVERY = 1.0
"""Seconds."""


def exit_with_parent(asker: int) -> None:
    """Watches, from now on, whether its parent ``asker`` is there: kill -9 tells children nothing."""

    def watch() -> None:
        while os.getppid() == asker:
            time.sleep(_LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def silence_third_party_logs() -> None:
    """Leaves it to us to say what is wrong: other libraries' logs would say it again, and at length."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for name in ("urllib3", "mlflow.system_metrics"):  # of a server that is away, we tell once
        logging.getLogger(name).setLevel(logging.ERROR)
    # tracebacks: for a full disk, and for a Ctrl-C in the middle of a question
    for name in ("mlflow.store.db.utils", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="PIL")  # what is wrong with an image, we say
