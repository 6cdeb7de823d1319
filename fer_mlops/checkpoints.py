"""What a run needs to go on after it was killed: written whole or not at all."""

from __future__ import annotations

import contextlib
import pickle
import struct
from collections.abc import Mapping
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
        aside.replace(path)
    except (OSError, RuntimeError) as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write the checkpoint {str(path)!r}: {error}; free space or set FER_MLOPS_CACHE to "
            "another folder, then go on with --resume"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Returns what was saved at ``path``, without running any code in it.

    Raises:
        TrainingError: There is no checkpoint, or it is no longer readable.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"no checkpoint at {str(path)!r}: this run ended or began elsewhere"
        ) from None
    except _UNREADABLE as error:
        raise TrainingError(f"cannot read the checkpoint {str(path)!r}: {error}") from error
    assert isinstance(state, dict)
    return state
