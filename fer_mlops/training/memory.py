"""The memory of a process that trains: kept between steps, and what to tell where it is full."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from fer_mlops.errors import TrainingError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def keep_heap() -> None:
    """Keeps the memory of freed tensors, where the C library is glibc.

    It would give every large one back to the system after each step and fault it in anew: a sixth of
    a small network's step on a CPU. For the commands that train, whose process does nothing else: it
    holds for the whole process, and cannot be taken back.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


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
