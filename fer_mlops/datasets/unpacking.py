"""Folders that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from fer_mlops.errors import DataError

_REMEDY = "free space or set FER_MLOPS_CACHE to another folder"


def make_once(folder: Path, fill: Callable[[Path], None], remedy: str = _REMEDY) -> Path:
    """Returns ``folder``, which ``fill`` filled now or in an earlier call.

    ``fill`` writes to an empty folder beside it, renamed at the end: an interruption leaves nothing,
    and of two processes the second keeps what the first made.

    Raises:
        DataError: The folder cannot be written, or ``fill`` raised it.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f"{folder.name}-"))
        try:
            fill(aside)
            aside.chmod(0o755)  # mkdtemp's own is for one user
            try:
                aside.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was first
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {str(folder)!r}: {reason}; {remedy}") from error
    return folder
