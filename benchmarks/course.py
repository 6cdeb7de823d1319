"""The course project's ResNet18 recipe, rebuilt, against ``fer-mlops cnn --preset fast``."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from machine import describe
from mlflow import MlflowClient
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet18

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.loading import divide_faces
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.files import cache_folder

SIDE, BATCH, WORKERS = 224, 32, 2
FROZEN_EPOCHS, WHOLE_EPOCHS = 7, 11
COURSE_ACCURACY = 0.8805
"""Of the course project's ResNet18 on its random split."""


class CourseDataset(Dataset[tuple[Tensor, int]]):
    """Each face decoded, resized and varied again in every epoch."""

    def __init__(self, table: FaceTable) -> None:
        self.files = [table.root / path for path in table.paths]
        self.labels = table.labels
        self.vary = transforms.Compose(
            [
                transforms.Resize((SIDE, SIDE)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomRotation(10),
                transforms.ColorJitter(brightness=0.2, contrast=0.2),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.files[row]) as image:
            return self.vary(image.convert("RGB")), int(self.labels[row])


def build(is_frozen: bool) -> nn.Module:
    """Returns ResNet18 with random weights, which take as long as ImageNet's, and a new last layer."""
    network = resnet18(weights=None)
    network.requires_grad_(not is_frozen)
    network.fc = nn.Linear(network.fc.in_features, len(EMOTIONS))
    return network


class Course:
    """One phase of the recipe, taken a few steps at a time."""

    def __init__(self, table: FaceTable, is_frozen: bool) -> None:
        self.network = build(is_frozen)
        trained = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.optimizer = Adam(trained, lr=1e-3 if is_frozen else 1e-4)
        self.loss = nn.CrossEntropyLoss()
        self.loader = DataLoader(CourseDataset(table), BATCH, shuffle=True, num_workers=WORKERS)
        self.steps_per_epoch = len(self.loader)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self.loader

    def seconds_per_step(self, warm_up: int, steps: int) -> float:
        """Returns the mean over ``steps`` steps, after some that start workers and fill queues."""
        started = 0.0
        for number, (images, labels) in enumerate(self.batches()):
            if number == warm_up:
                started = time.perf_counter()
            if number == warm_up + steps:
                break
            loss = self.loss(self.network(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return (time.perf_counter() - started) / steps


@dataclass(frozen=True)
class Ours:
    """One whole run of the command, start of the interpreter and first read included."""

    seconds: float
    metrics: dict[str, float]


def run_ours(data: str, family: str, seed: int, settings: tuple[str, ...]) -> Ours:
    """Returns the run's wall time and metrics; nothing of it stays, nothing was read before."""
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        command = [sys.executable, "-m", "fer_mlops", family, "--preset", "fast", "--split", "random"]
        command += ["--data", data, "--seed", str(seed)]
        command += [part for setting in settings for part in ("--set", setting)]
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "FER_MLOPS_CACHE": f"{folder}/cache"}
        environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
        started = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name("fer_mlops")
        assert experiment is not None
        return Ours(seconds, client.search_runs([experiment.experiment_id])[0].data.metrics)


def show(family: str, runs: list[Ours], course: list[float]) -> None:
    """Prints what the rounds came to."""
    ours = [run.seconds for run in runs]
    rows = (("course recipe, 7 + 11 epochs", course), (f"fer-mlops {family} --preset fast", ours))
    for name, seen in rows:
        middle, spread = statistics.median(seen), f"[{min(seen):.0f}, {max(seen):.0f}]"
        print(f"{name:33} {middle:8.0f} s  {spread}, {middle / 60:.1f} min")
    ratios = np.array(course) / np.array(ours)
    print(f"{'ratio, n = ' + str(len(ratios)):33} {np.median(ratios):8.1f}    ", end="")
    print(f"[{ratios.min():.1f}, {ratios.max():.1f}]")
    points = {"default": "test", "natural": "test_natural"}
    for seed, run in enumerate(runs):
        scores = []
        for point, part in points.items():
            value, low, high = (run.metrics[f"{part}/accuracy{end}"] for end in ("", "_low", "_high"))
            scores.append(f"{point} {value:.4f} [{low:.3f}, {high:.3f}]")
        print(f"seed {seed}, test n = {run.metrics['test/faces']:.0f}: accuracy {', '.join(scores)}")
    for point, part in points.items():
        reached = [run.metrics[f"{part}/accuracy"] >= COURSE_ACCURACY for run in runs]
        which = ratios[np.array(reached)]
        print(
            f"time to {COURSE_ACCURACY:.2%}, {point} point: {sum(reached)} of {len(runs)} runs reach it",
            end="",
        )
        print(f", {np.median(which):.1f} times faster" if len(which) else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--family", choices=["cnn", "transfer"], default="cnn", help="whose preset fast")
    parser.add_argument("--rounds", type=int, default=3, help="each with its own seed of ours")
    parser.add_argument("--steps", type=int, default=24, help="steps of each course phase in a round")
    parser.add_argument(
        "--quick", action="store_true", help="one round, one epoch of ours: only a check"
    )
    options = parser.parse_args()
    rounds, steps, warm_up = (1, 1, 1) if options.quick else (options.rounds, options.steps, 8)
    print(describe())
    data = str(Path(options.data).resolve()) if Path(options.data).exists() else options.data
    config = DataConfig(source=data, split="random")
    table = load_faces(Request(cache=cache_folder(), config=config))
    split = divide_faces(table, config, 0, cache_folder())
    train = table.select(split.train)
    frozen, whole = Course(train, is_frozen=True), Course(train, is_frozen=False)
    per_step: dict[str, list[float]] = {"frozen": [], "whole": []}
    settings = ("training.epochs=1",) if options.quick else ()
    runs = []
    for seed in range(rounds):
        per_step["frozen"].append(frozen.seconds_per_step(warm_up, steps))
        runs.append(run_ours(data, options.family, seed, settings))
        per_step["whole"].append(whole.seconds_per_step(warm_up, steps))
    num = frozen.steps_per_epoch
    print(f"training faces n = {len(train)}, {num} steps an epoch; {steps} steps timed in each round")
    for name, seen in per_step.items():
        print(f"course, {name} network            {statistics.median(seen):.3f} s a step")
    course = [
        num * (FROZEN_EPOCHS * one + WHOLE_EPOCHS * other)
        for one, other in zip(per_step["frozen"], per_step["whole"], strict=True)
    ]
    show(options.family, runs, course)


if __name__ == "__main__":
    main()
