"""What a run needs to go on after it was killed: written whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from fer_mlops.errors import TrainingError

_UNREADABLE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    struct.error,
    pickle.UnpicklingError,
)
"""What torch.load raises for a file that is damaged or is no checkpoint."""


def checkpoint_path(cache: Path, run_id: str) -> Path:
    """Returns where the run keeps what it needs to go on."""
    return cache / "checkpoints" / f"{run_id}.pt"


@contextlib.contextmanager
def claim(path: Path) -> Iterator[None]:
    """Keeps other processes off the checkpoint at ``path`` until the block, or this process, ends.

    Raises:
        TrainingError: Another process of this machine has it, or the folder cannot be written.
    """
    lock = path.with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"run {path.stem} is being trained by another process; stop that one first"
            ) from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def save_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Writes ``state`` (tensors, numbers, text, lists, dicts) to ``path``, replacing what was there.

    It is written beside and renamed, so a kill in the middle leaves the previous checkpoint.

    Raises:
        TrainingError: The disk is full or the folder cannot be written.
    """
    aside = path.with_suffix(".writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(dict(state), aside)
        with aside.open("rb+") as written:
            os.fsync(written.fileno())  # or a power cut leaves the new name with nothing behind it
        aside.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"cannot write the checkpoint {str(path)!r}: {str(error).splitlines()[0]}; free space or set "
        "FER_MLOPS_CACHE to another folder, then go on with --resume"
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns what was saved at ``path``, without running any code in it.

    Raises:
        TrainingError: There is no checkpoint, or it is no longer readable.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"no checkpoint at {str(path)!r}: this run ended, or began elsewhere, or not at all"
        ) from None
    except _UNREADABLE as error:
        raise TrainingError(f"cannot read the checkpoint {str(path)!r}: {error}") from error
    if not isinstance(state, dict):
        raise TrainingError(f"cannot read the checkpoint {str(path)!r}: it is no mapping of names")
    return state
