"""Checkpoint files, written atomically so that a killed run can resume."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from fer_mlops.errors import TrainingError
from fer_mlops.files import locked, whole


def checkpoint_path(cache: Path, run_id: str) -> Path:
    """Returns the path of the run's checkpoint."""
    return cache / "checkpoints" / f"{run_id}.pt"


@contextlib.contextmanager
def claim(path: Path) -> Iterator[None]:
    """Locks the checkpoint at ``path`` until the block, or this process, ends.

    Raises:
        TrainingError: Another process of this machine holds the lock, or the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:  # so that errors of the caller's block are not caught here
        try:
            stack.enter_context(locked(path, blocking=False))
        except BlockingIOError:
            raise TrainingError(
                f"run {path.stem} is being trained by another process; stop that process first"
            ) from None
        except OSError as error:
            raise _unwritable(path, error) from error
        yield


def save_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Writes ``state`` (tensors, numbers, text, lists, dicts) to ``path``, atomically.

    Raises:
        TrainingError: The disk is full or the folder cannot be written.
    """
    try:
        with whole(path) as aside:
            torch.save(dict(state), aside)
    except (OSError, RuntimeError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> TrainingError:
    return TrainingError(
        f"cannot write the checkpoint {str(path)!r}: {str(error).splitlines()[0]}; free space or set "
        "FER_MLOPS_CACHE to another folder, then continue with --resume"
    )


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns the state saved at ``path``, without running any code in the file.

    Raises:
        TrainingError: There is no checkpoint, or it cannot be read.
    """
    try:
        # on the CPU first: the run may resume on a machine without the device that it started on
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"no checkpoint at {str(path)!r}: the run is finished, was started elsewhere, or was "
            "never started"
        ) from None
    except Exception as error:  # torch raises any exception for a damaged file
        raise TrainingError(f"cannot read the checkpoint {str(path)!r}: {error}") from error
    if not isinstance(state, dict):
        raise TrainingError(f"cannot read the checkpoint {str(path)!r}: it is not a mapping")
    return state
