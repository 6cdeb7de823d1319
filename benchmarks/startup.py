"""Processor seconds of the first answer of each command, beside ``import torch``, on one thread."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from machine import describe
from mlflow import MlflowClient
from PIL import Image

from fer_mlops import REGISTERED_NAME
from fer_mlops.config import CnnConfig, TransferConfig
from fer_mlops.models import build_network
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer

MODELS: dict[str, CnnConfig | TransferConfig] = {
    "cnn": CnnConfig(),
    "resnet18": TransferConfig(backbone="resnet18"),
    "efficientnet_lite0": TransferConfig(backbone="efficientnet_lite0"),
}
FER = (sys.executable, "-m", "fer_mlops")
TORCH = "import torch"
COMMANDS: dict[str, tuple[str, ...]] = {
    TORCH: (sys.executable, "-c", TORCH),
    "--help": (*FER, "--help"),
    "data list": (*FER, "data", "list"),
    "registry list": (*FER, "registry", "list"),
    **{
        f"predict, {kind}": (
            *FER,
            "predict",
            "face.png",
            "--model",
            f"models:/{REGISTERED_NAME}/{number}",
        )
        for number, kind in enumerate(MODELS, start=1)
    },
}
AIMS = {"--help": 0.15, "data list": 0.5, "registry list": 2.5}
"""Largest number of processor seconds."""
MOST_TORCHES = 1.6
"""Largest number of processor seconds of a prediction, in those of ``import torch``."""


def fill_registry(folder: Path) -> None:
    """Registers untrained models of every kind in a new SQLite file, and writes a face."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_registered_model(REGISTERED_NAME)
    torch.manual_seed(0)
    for kind, config in MODELS.items():
        family = "cnn" if isinstance(config, CnnConfig) else "transfer"
        Classifier(
            family=family,
            image_size=config.image_size,
            scorer=NetworkScorer(build_network(family, config, 7), config),
            calibration=Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0),
        ).save(folder / kind)
        client.create_model_version(REGISTERED_NAME, (folder / kind).as_uri())
    Image.radial_gradient("L").save(folder / "face.png")


def processor_seconds(command: Sequence[str], folder: Path) -> float:
    """Returns the user and system seconds of a command that ends well."""
    home = Path(__file__).parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(home)}
    environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def show(seconds: Mapping[str, Sequence[float]]) -> None:
    """Prints the least seconds of each command, and their ratio to those of ``import torch``."""
    torches = min(seconds[TORCH])
    print(f"{'command':28} {'processor s':>11} {'x import torch':>14}  aim")
    for name, taken in seconds.items():
        aim = f"{AIMS[name]} s" if name in AIMS else ""
        aim = f"{MOST_TORCHES} x" if name.startswith("predict") else aim
        print(f"{name:28} {min(taken):11.2f} {min(taken) / torches:14.2f}  {aim}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round: only a check")
    options = parser.parse_args()
    print(describe())
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        fill_registry(Path(folder))
        for _ in range(
            1 if options.quick else options.rounds
        ):  # side by side, as other work comes and goes
            for name, command in COMMANDS.items():
                seconds[name].append(processor_seconds(command, Path(folder)))
    show(seconds)


if __name__ == "__main__":
    main()
