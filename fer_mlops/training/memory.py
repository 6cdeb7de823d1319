"""Memory of a training process: keeps freed memory, and explains out-of-memory errors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import torch

from fer_mlops.errors import TrainingError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Options of mallopt in glibc's malloc.h."""


def keep_heap() -> None:
    """Keeps the memory of freed tensors in the process, if the C library is glibc.

    Otherwise glibc returns every large tensor to the system after each step and faults it in again,
    which takes a sixth of a small network's step on a CPU. Only for commands that train: the setting
    applies to the whole process and cannot be undone.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def explain_full_memory(
    device: torch.device, size: int, step: Callable[[int], object] | None
) -> Iterator[None]:
    """Turns an out-of-memory error in the block into a message with a batch size that fits.

    Args:
        device: Device of the training step.
        size: Number of faces in the step.
        step: Runs a training step with the given number of faces to find a size that fits; its effect
            on the weights does not matter. None to try no step, because other processes of the process
            group would not take part.

    Raises:
        TrainingError: The device is out of memory.
    """
    is_full = False
    try:
        yield
    except torch.OutOfMemoryError:
        is_full = True  # handled below, because the error keeps the tensors of its step alive
    if is_full:
        remedy = _remedy(size, step)
        raise TrainingError(f"a step of {size} faces does not fit into the memory of {device}; {remedy}")


def _remedy(size: int, step: Callable[[int], object] | None) -> str:
    if step is None:
        return f"try --batch-size {size // 2}"
    if fitting := _largest_fitting(size, step):
        return f"a step of {fitting} faces fits: try --batch-size {fitting}"
    return "neither does a step of 2: choose a smaller --image-size or --set training.device=cpu"


def _largest_fitting(size: int, step: Callable[[int], object]) -> int:
    """Returns the largest of ``size`` / 2, / 4, … (2 or more) whose step succeeds, or 0."""
    while (size := size // 2) >= 2:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        try:
            step(size)
        except torch.OutOfMemoryError:
            continue
        return size
    return 0
