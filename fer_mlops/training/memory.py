"""The memory of a process that trains: kept between steps, and what to tell where it is full."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
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
def explain_full_memory(device: torch.device, size: int) -> Iterator[None]:
    """Turns a full memory inside the block into a sentence that says what to do.

    Args:
        device: Device of the step.
        size: Faces in the step.

    Raises:
        TrainingError: The memory was full.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = f"try --batch-size {size // 2}, " if size >= 4 else ""
        raise TrainingError(
            f"a step of {size} faces does not fit into the memory of {device}; {remedy}a smaller "
            "--image-size or --set training.device=cpu"
        ) from error
