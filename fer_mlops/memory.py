"""What to tell of a device whose memory is full."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from fer_mlops.errors import TrainingError


@contextmanager
def explain_full_memory(
    device: torch.device, size: int, step: Callable[[int], object] | None
) -> Iterator[None]:
    """Turns a full memory inside the block into a sentence that names a batch size that fits.

    Args:
        device: Whose memory it is.
        size: Faces of the step in the block.
        step: Takes a whole training step of so many faces; what it does to the weights no longer counts.
            None where none can be tried, as other processes would not take part.

    Raises:
        TrainingError: The memory was full.
    """
    is_full = False
    try:
        yield
    except torch.OutOfMemoryError:
        is_full = True  # no more here: the error holds on to the tensors of its step
    if is_full:
        remedy = _remedy(size, step)
        raise TrainingError(f"a step of {size} faces does not fit into the memory of {device}; {remedy}")


def _remedy(size: int, step: Callable[[int], object] | None) -> str:
    if step is None:
        return f"try --batch-size {size // 2}"
    if fitting := _largest_fitting(size, step):
        return f"a step of {fitting} does: try --batch-size {fitting}"
    return "nor does one of 2: choose a smaller --image-size or --set training.device=cpu"


def _largest_fitting(size: int, step: Callable[[int], object]) -> int:
    """Returns the largest half, quarter … of ``size``, 2 or more, whose step succeeds, or 0."""
    while (size := size // 2) >= 2:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            step(size)
        except torch.OutOfMemoryError:
            continue
        return size
    return 0
