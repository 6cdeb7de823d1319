"""Faces per second of two trainings at once against one alone, by the spin count of OpenMP."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from machine import describe

from fer_mlops.models import build_network
from fer_mlops.pipelines.experiments import experiment_of
from fer_mlops.processes import set_up_libraries

SPIN = "GOMP_SPINCOUNT"


def measure(seconds: float) -> None:
    """Prints the faces per second of float32 steps of ``cnn --preset fast`` in this process."""
    experiment = experiment_of("cnn", {}, preset="fast")
    network, size = build_network("cnn", experiment.cnn, 7).train(), experiment.training.batch_size
    side = experiment.cnn.image_size
    faces = torch.rand(size, 1, side, side).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 7, (size,))
    optimizer = torch.optim.AdamW(network.parameters())
    num, start = -3, 0.0  # three steps to warm up
    while num < 1 or time.perf_counter() - start < seconds:
        if num == 0:
            start = time.perf_counter()
        optimizer.zero_grad()
        F.cross_entropy(network(faces), labels).backward()
        optimizer.step()
        num += 1
    print(num * size / (time.perf_counter() - start))


def rates(num: int, seconds: float, spins: str) -> list[float]:
    """Returns the faces per second of each of ``num`` processes at once."""
    environment = {name: value for name, value in os.environ.items() if name != SPIN}
    if spins:
        environment[SPIN] = spins
    command = [sys.executable, __file__, "--measure", str(seconds)]
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(num)
    ]
    return [float(process.communicate()[0]) for process in started]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--measure", type=float)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure)
        return
    set_up_libraries()
    ours = os.environ[SPIN]
    print(describe())
    for name, spins in (("libgomp's own spin count", ""), (f"the commands' {ours}", ours)):
        alone = rates(1, options.seconds, spins)[0]
        together = rates(2, options.seconds, spins)
        shown = ", ".join(f"{rate:.0f}" for rate in together)
        ratio = sum(together) / alone
        print(f"{name}: alone {alone:.0f} faces/s; two at once {shown}, together {ratio:.2f}x")


if __name__ == "__main__":
    main()
