"""Devices: choice of device, memory, random state."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from fer_mlops.errors import ConfigError, TrainingError
from fer_mlops.training import distributed

# share of a GPU's free memory for faces and features; the rest is for weights and activations
_SHARE = 0.25


def choose_device(name: str) -> torch.device:
    """Returns the torch device for ``name``; ``auto`` is CUDA, else MPS, else CPU.

    In a process group, each process takes the CUDA device of its own number.

    Raises:
        ConfigError: The device does not exist here, or cannot be used by several processes.
    """
    is_alone = distributed.world_size() == 1
    if name == "auto":
        has_mps = torch.backends.mps.is_available() and is_alone  # torch has no process group for it
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    try:
        device = torch.device(name)
        if not is_alone and device.type == "cuda":
            device = torch.device("cuda", distributed.local_rank())
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        is_short = not is_alone and name.startswith("cuda")
        more = f"; {distributed.world_size()} processes need a CUDA device each" if is_short else ""
        raise ConfigError(f"training.device {name!r} cannot be used here: {reason}{more}") from error
    if not is_alone and device.type not in ("cuda", "cpu"):
        raise ConfigError(f"several processes train on CUDA or the CPU, training.device is {name!r}")
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    return device


def room_on(device: torch.device) -> int:
    """Returns the number of bytes of data to keep on ``device``; 0 on a CPU, which reads the cache."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * _SHARE)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global generators, which dropout uses, and restores them after the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed + distributed.rank() * 2**32)  # other numbers in each process
        yield


def random_module(device: torch.device) -> Any:
    """Returns the module with the state of the global generator that dropout uses on ``device``."""
    return torch if device.type == "cpu" else torch.get_device_module(device)


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # options of mallopt in glibc's malloc.h


def keep_heap() -> None:
    """Keeps the memory of freed tensors in the process, if the C library is glibc.

    Only for commands that train: the setting applies to the whole process and cannot be undone.
    """
    # otherwise glibc returns every large tensor to the system after each step and faults it in again,
    # which takes a sixth of a small network's step on a CPU
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


@contextmanager
def explain_full_memory(device: torch.device, size: int) -> Iterator[None]:
    """Turns an out-of-memory error of a step of ``size`` faces into a TrainingError with a remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        remedy = f"try --batch-size {size // 2}, " if size >= 4 else ""
        raise TrainingError(
            f"a step of {size} faces does not fit into the memory of {device}; {remedy}a smaller "
            "--image-size or --set training.device=cpu"
        ) from error
