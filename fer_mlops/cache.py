"""Where things that can be made again are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns where decoded faces, the drawn sample and checkpoints are kept.

    ``FER_MLOPS_CACHE`` if set, else ``~/.cache/fer_mlops``.
    """
    chosen = os.environ.get("FER_MLOPS_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "fer_mlops"
