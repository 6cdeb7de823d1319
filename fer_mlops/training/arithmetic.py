"""Arithmetic of a network's forward pass: float32, bfloat16 or float16, measured where it matters.

bfloat16 instructions do not make every network faster: on a Xeon with AMX a dense 3x3 convolution takes
.23 times as long to train as in float32, a depthwise one 2.8 times. So the network itself is timed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import torch
from torch import nn

from fer_mlops.config import TrainingConfig
from fer_mlops.errors import ConfigError
from fer_mlops.files import whole
from fer_mlops.training import distributed

_VERSION = 1  # to be raised when the measurement changes
_SECONDS = 0.5  # time after which no further round starts
_LEAST_ROUNDS = 2  # the first one warms up
_PIXELS = 32 * 48 * 48  # of a batch: as few as 8 faces of a large network, whose step takes long
_FEWEST, _MOST = 8, 32  # faces of a batch


def with_arithmetic(
    training: TrainingConfig, network: nn.Module, side: int, cache: Path, kept: Mapping[str, str]
) -> tuple[TrainingConfig, dict[str, str]]:
    """Returns the settings with a definite ``precision``, and the facts to log about it.

    All processes of a process group get the choice of the first.

    Args:
        training: Settings; ``auto`` becomes the fastest safe precision.
        network: Network to train, on its device.
        side: Side of its square input, in pixels.
        cache: Folder that keeps the measurement.
        kept: Facts of the run to resume, which keeps its arithmetic; empty for a new run.

    Raises:
        ConfigError: ``float16`` on a device without gradient scaling.
    """
    if "arithmetic" in kept:
        chosen, reason = kept["arithmetic"], kept["arithmetic_reason"]
    else:
        chosen, reason = _choose(training.precision, network, side, cache)
    settled = replace(training, precision=chosen)  # type: ignore[arg-type]
    return settled, {"arithmetic": chosen, "arithmetic_reason": reason}


def _choose(precision: str, network: nn.Module, side: int, cache: Path) -> tuple[str, str]:
    """Returns the name of the data type, and the reason for it."""
    device = next(network.parameters()).device
    if precision != "auto":
        if precision == "float16" and device.type not in ("cuda", "cpu"):
            raise ConfigError(f"training.precision float16 needs CUDA or the CPU, not {device.type}")
        return precision, "named by training.precision"
    if device.type == "cuda":  # bfloat16 is emulated before Ampere
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
        if is_native:
            return "bfloat16", "this GPU has bfloat16 instructions"
        return "float16", "this GPU has no bfloat16 instructions"
    if device.type != "cpu":
        return "float32", f"bfloat16 and float16 are not used on {device.type}"
    ratio = 0.0
    if distributed.rank() == 0 and _has_bfloat16():
        ratio = _cached_ratio(network, side, cache)
    ratio = float(distributed.gather(torch.tensor(ratio, dtype=torch.float64))[0])
    if not ratio:
        return "float32", "this processor has no bfloat16 instructions"
    name = "bfloat16" if ratio < 1 else "float32"
    return name, f"measured: bfloat16 takes {ratio:.2f} times as long as float32"


def _has_bfloat16() -> bool:
    """Returns whether the processor multiplies bfloat16; others emulate it, more slowly than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _cached_ratio(network: nn.Module, side: int, cache: Path) -> float:
    """Returns the result of ``_measure``, from the cache if this machine has measured such a network."""
    shapes = [(tuple(weight.shape), weight.requires_grad) for weight in network.parameters()]
    machine = (_processor(), torch.__version__, torch.get_num_threads())
    key = hashlib.sha256(repr((_VERSION, machine, side, shapes)).encode()).hexdigest()[:24]
    path = cache / f"arithmetic-{key}.json"
    with suppress(OSError, ValueError, TypeError):  # missing or damaged: measured again
        if (found := float(json.loads(path.read_text(encoding="utf-8")))) > 0:
            return found
    ratio = _measure(network, side)
    with suppress(OSError), whole(path) as aside:  # without a cache, each run measures
        aside.write_text(json.dumps(ratio), encoding="utf-8")
    return ratio


def _processor() -> str:
    """Returns the model of this machine's processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _measure(network: nn.Module, side: int) -> float:
    """Returns the time of a training step in bfloat16, as a multiple of that in float32."""
    trial = copy.deepcopy(network).train()  # a step changes batch statistics and gradients
    num_faces = max(_FEWEST, min(_MOST, _PIXELS // side**2))
    least = dict.fromkeys((torch.float32, torch.bfloat16), float("inf"))
    started, num_rounds = perf_counter(), 0
    with torch.random.fork_rng(devices=[]):  # dropout draws numbers too
        faces = torch.rand(num_faces, 1, side, side)
        while num_rounds < _LEAST_ROUNDS or perf_counter() < started + _SECONDS:
            for dtype in least:  # in turn, so that other load on the machine slows both
                least[dtype] = min(least[dtype], _seconds(trial, faces, dtype))
            num_rounds += 1
    return least[torch.bfloat16] / least[torch.float32]


def _seconds(network: nn.Module, faces: torch.Tensor, dtype: torch.dtype) -> float:
    """Returns the time of a forward and backward pass."""
    started = perf_counter()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        logits = network(faces)
    logits.float().sum().backward()
    return perf_counter() - started
