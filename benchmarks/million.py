"""A million faces at 48 px: time and memory from files to training steps."""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import describe
from PIL import Image

from fer_mlops.config import AugmentConfig, CnnConfig, DataConfig, TrainingConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.loading import divide_faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.files import cache_folder
from fer_mlops.images.arrays import take_images
from fer_mlops.models import build_network
from fer_mlops.training.augmentation import make_augment
from fer_mlops.training.examples import Examples
from fer_mlops.training.loop import train_epoch
from fer_mlops.training.losses import LOSSES
from fer_mlops.training.state import TrainingState

SIDE, DIFFERENT = 48, 4000


def lay_out(data: str, folder: Path, num: int) -> None:
    """Fills ``folder`` with ``num`` links to small JPEGs of the first faces of ``data``."""
    table = load_faces(Request(cache=cache_folder(), config=DataConfig(source=data)))
    table = table.select(np.arange(min(DIFFERENT, len(table))))
    _, pixels = load_images(table, SIDE, cache_folder())
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True)
    originals = folder / ".originals"
    originals.mkdir()
    for row in range(len(table)):
        Image.fromarray(pixels[row]).save(originals / f"{row}.jpg", quality=90)
    for number in range(num):
        row, copy = number % len(table), number // len(table)
        name = f"{chr(97 + row % 26)}{row}x{copy}q_{number}.jpg"
        os.link(originals / f"{row}.jpg", folder / EMOTIONS[table.labels[row]] / name)


def peak() -> str:
    """Returns the most memory this process was resident with so far."""
    return f"peak resident {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def train(pixels: object, labels: np.ndarray, rows: np.ndarray, steps: int) -> float:
    """Takes ``steps`` steps on faces from all over the file and returns the last mean loss."""
    chosen = np.random.default_rng(0).choice(rows, steps * 64, replace=False)
    faces = take_images(pixels, chosen)  # type: ignore[arg-type]
    examples = Examples(faces, torch.from_numpy(labels[chosen]))
    loss = LOSSES["cross_entropy"](torch.bincount(examples.labels, minlength=7), 0.0)
    session = TrainingState(build_network("cnn", CnnConfig(), 7), examples, loss, TrainingConfig(), 0)
    return train_epoch(session, make_augment(AugmentConfig()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--faces", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory(dir=cache_folder()) as aside:
        folder, cache = Path(aside) / "faces", Path(aside) / "cache"
        lay_out(options.data, folder, options.faces)
        print(f"{options.faces} files laid out; {peak()}", flush=True)
        started = time.perf_counter()

        def done(what: str) -> None:
            nonlocal started
            print(f"{what:28} {time.perf_counter() - started:7.1f} s   {peak()}", flush=True)
            started = time.perf_counter()

        config = DataConfig(source=str(folder), split="identity")
        table = load_faces(Request(cache=cache, config=config))
        done(f"table of {len(table)}")
        table, pixels = load_images(table, SIDE, cache)
        done("first read")
        load_images(table, SIDE, cache)
        done("opened again")
        split = divide_faces(table, config, 0, cache)
        done("identity split, duplicates")
        loss = train(pixels, table.labels, split.train, options.steps)
        done(f"{options.steps} training steps")
        assert np.isfinite(loss)


if __name__ == "__main__":
    main()
