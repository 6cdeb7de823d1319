"""Memory of a training process: keeps freed memory, and explains out-of-memory errors."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
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
def explain_full_memory(device: torch.device, size: int) -> Iterator[None]:
    """Turns an out-of-memory error in the block into a message with a remedy.

    Args:
        device: Device of the training step.
        size: Number of faces in the step.

    Raises:
        TrainingError: The device is out of memory.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = f"try --batch-size {size // 2}, " if size >= 4 else ""
        raise TrainingError(
            f"a step of {size} faces does not fit into the memory of {device}; {remedy}a smaller "
            "--image-size or --set training.device=cpu"
        ) from error
