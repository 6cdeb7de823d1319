"""Processes that work beside the one that asked, and do not outlive it."""

from __future__ import annotations

import os
import threading
import time

_LOOK_EVERY = 1.0
"""Seconds."""


def end_with(asker: int) -> None:
    """Watches, from now on, whether its parent ``asker`` is there: kill -9 tells children nothing."""

    def watch() -> None:
        while os.getppid() == asker:
            time.sleep(_LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
