"""One training step of a preset: its share of a plain matrix product, and where it goes."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from machine import describe
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from fer_mlops.config import CnnExperiment
from fer_mlops.config.recipes import build_experiment, preset_path
from fer_mlops.emotions import EMOTIONS
from fer_mlops.models import build_network
from fer_mlops.training.augmentation import Augment, make_augment
from fer_mlops.training.devices import keep_heap
from fer_mlops.training.examples import Examples
from fer_mlops.training.loop import train_epoch
from fer_mlops.training.losses import LOSSES
from fer_mlops.training.state import TrainingState

Precision = Literal["float32", "bfloat16"]
TYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
SIDES = (1024, 2048, 3072)
"""Of the square matrices; the fastest product is what a step is compared with."""
GROUPS = {
    "convolution, forward": ("aten::mkldnn_convolution", "aten::_slow_conv2d_forward"),
    "convolution, backward": ("aten::convolution_backward", "aten::mkldnn_convolution_backward"),
    "batch norm": ("aten::native_batch_norm", "aten::native_batch_norm_backward"),
    "pooling": ("aten::max_pool2d_with_indices", "aten::max_pool2d_with_indices_backward"),
    "ReLU": ("aten::clamp_min", "aten::clamp_min_", "aten::relu_", "aten::threshold_backward"),
}
"""Operators by group, each with what it calls; the optimiser and the augmentation are named by us."""
MARKED = {"augmentation": "augmentation", "Optimizer.step": "optimiser"}


def build(preset: str, precision: Precision, steps: int) -> TrainingState:
    """Returns a session on random faces whose epoch has ``steps`` steps."""
    experiment = build_experiment("cnn", recipe=preset_path("cnn", preset))
    assert isinstance(experiment, CnnExperiment)
    training = replace(experiment.training, precision=precision)
    side, num = experiment.cnn.image_size, steps * training.batch_size
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (num, side, side), dtype=np.uint8)
    labels = torch.from_numpy(random.integers(0, len(EMOTIONS), num))
    network = build_network("cnn", experiment.cnn, len(EMOTIONS))
    counts = torch.bincount(labels, minlength=len(EMOTIONS))
    loss = LOSSES[training.loss](counts, training.label_smoothing)
    # the schedule has an end that more rounds must not reach
    return TrainingState(network, Examples(pixels, labels), loss, replace(training, epochs=1000), 0)


def flops_per_face(session: TrainingState) -> float:
    """Returns twice the multiply-adds of the network's own forward and backward pass; no optimiser's."""
    images = torch.rand(2, 1, *session.train.inputs.shape[1:])
    with FlopCounterMode(display=False) as counter:
        session.network.train()(images).sum().backward()
    return float(counter.get_total_flops()) / len(images)


def product_speed(dtype: torch.dtype) -> float:
    """Returns the floating-point operations a second of the fastest square matrix product."""
    speeds = []
    for side in SIDES:
        a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
        speeds.append(2 * side**3 / min(seconds(lambda a=a, b=b: a @ b) for _ in range(4)))  # type: ignore[misc]
    return max(speeds)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def shares(session: TrainingState, augment: Augment) -> dict[str, float]:
    """Returns the share of an epoch's time by group of operators, largest first."""

    def watched(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        with record_function("augmentation"):
            return augment(images, generator)

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        spent = seconds(lambda: train_epoch(session, watched)) * 1e6
    times = dict.fromkeys([*GROUPS, *MARKED.values()], 0.0)
    for event in profiler.events() or ():
        group = group_of(event)
        if group and not any(group_of(above) for above in ancestors(event)):
            times[group] += event.cpu_time_total
    times = dict(sorted(times.items(), key=lambda item: -item[1]))
    return {
        **{name: value / spent for name, value in times.items()},
        "other": 1 - sum(times.values()) / spent,
    }


def group_of(event: FunctionEvent) -> str | None:
    for mark, group in MARKED.items():
        if event.name.startswith(mark):
            return group
    return next((group for group, names in GROUPS.items() if event.name in names), None)


def ancestors(event: FunctionEvent) -> list[FunctionEvent]:
    found = []
    while event.cpu_parent is not None:
        event = event.cpu_parent
        found.append(event)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20, help="training steps of a round")
    parser.add_argument("--quick", action="store_true", help="two rounds of two steps: only a check")
    options = parser.parse_args()
    rounds, steps = (2, 2) if options.quick else (options.rounds, options.steps)
    print(describe())
    keep_heap()
    experiment = build_experiment("cnn", recipe=preset_path("cnn", options.preset))
    assert isinstance(experiment, CnnExperiment)
    augment, batch = make_augment(experiment.augment), experiment.training.batch_size
    sessions = {name: build(options.preset, name, steps) for name in TYPES}
    flops = flops_per_face(sessions["float32"])
    speeds: dict[str, list[float]] = {name: [] for name in TYPES}
    rates: dict[str, list[float]] = {name: [] for name in TYPES}
    for number in range(rounds + 1):  # the first warms up
        for name, session in sessions.items():
            speed = product_speed(TYPES[name])
            spent = seconds(lambda session=session: train_epoch(session, augment))  # type: ignore[misc]
            rate = steps * batch / spent
            if number:
                speeds[name].append(speed)
                rates[name].append(rate)
    print(f"preset {options.preset}, batch {batch}, n = {rounds} rounds of {steps} steps;", end=" ")
    print(f"{flops / 2e6:.1f} million multiply-adds a face, forward and backward")
    print(f"{'':10} {'product':>12} {'step':>16} {'of it useful':>14}  share, median [least, most]")
    for name in TYPES:
        useful = np.array(rates[name]) * flops
        share = useful / np.array(speeds[name])
        print(
            f"{name:10} {statistics.median(speeds[name]) / 1e9:5.0f} GFLOP/s "
            f"{statistics.median(rates[name]):8.0f} faces/s {np.median(useful) / 1e9:6.0f} GFLOP/s"
            f"  {np.median(share):.3f} [{share.min():.3f}, {share.max():.3f}]"
        )
    for name, session in sessions.items():
        parts = ", ".join(f"{group} {share:.1%}" for group, share in shares(session, augment).items())
        print(f"{name} step: {parts}")


if __name__ == "__main__":
    main()
