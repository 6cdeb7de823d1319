"""Reading faces: the first time, and in every epoch after."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from machine import describe
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fer_mlops.config import AugmentConfig, CnnConfig, DataConfig, TrainingConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.table import FaceTable
from fer_mlops.files import cache_folder
from fer_mlops.images.arrays import CachedImages
from fer_mlops.models import build_network
from fer_mlops.training.augmentation import make_augment
from fer_mlops.training.examples import Examples
from fer_mlops.training.loop import train_epoch
from fer_mlops.training.losses import LOSSES
from fer_mlops.training.state import TrainingState

SIDE, BATCH = 48, 64


class JpegDataset(Dataset[tuple[torch.Tensor, int]]):
    """What most training scripts do: each face decoded and resized again in every epoch."""

    def __init__(self, table: FaceTable) -> None:
        self.files = [table.root / path for path in table.paths]
        self.labels = table.labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.files[row]) as image:
            face = np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        return torch.from_numpy(face.copy()).unsqueeze(0).float().div_(255), int(self.labels[row])


def decode_only(files: list[Path]) -> None:
    """The bare decode loop of one core: no resize, nothing kept."""
    for file in files:
        with Image.open(file) as image:
            image.load()


def bare_decode(table: FaceTable) -> None:
    files = [table.root / path for path in table.paths]
    with ProcessPoolExecutor() as pool:
        list(pool.map(decode_only, [files[start : start + 64] for start in range(0, len(files), 64)]))


def first_read(table: FaceTable) -> None:
    with tempfile.TemporaryDirectory() as cache:
        load_images(table, SIDE, Path(cache))


def loader_epoch(table: FaceTable) -> None:
    loader = DataLoader(JpegDataset(table), BATCH, shuffle=True, num_workers=2)
    for _ in loader:
        pass


def later_epoch(table: FaceTable, pixels: CachedImages) -> None:
    examples = Examples(pixels, torch.from_numpy(table.labels))
    for rows in np.array_split(np.random.default_rng(0).permutation(len(table)), len(table) // BATCH):
        examples.take(rows, torch.device("cpu"))


def rate(work: Callable[[FaceTable], None], table: FaceTable) -> float:
    """Returns faces per second."""
    started = time.perf_counter()
    work(table)
    return len(table) / (time.perf_counter() - started)


def waiting_share(table: FaceTable) -> float:
    """Returns the share of a cnn training epoch spent in getting batches."""
    _, pixels = load_images(table, SIDE, cache_folder())
    waited = 0.0

    class Watched(Examples):
        def take(self, rows: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
            nonlocal waited
            started = time.perf_counter()
            taken = super().take(rows, device)
            waited += time.perf_counter() - started
            return taken

    examples = Watched(pixels, torch.from_numpy(table.labels))
    counts = torch.from_numpy(np.bincount(table.labels, minlength=7))
    network = build_network("cnn", CnnConfig(), 7)
    session = TrainingState(network, examples, LOSSES["cross_entropy"](counts, 0.0), TrainingConfig(), 0)
    started = time.perf_counter()
    train_epoch(session, make_augment(AugmentConfig()))
    return waited / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--faces", type=int, default=4000, help="how many of DATA's faces")
    options = parser.parse_args()
    print(describe())
    table = load_faces(Request(cache=cache_folder(), config=DataConfig(source=options.data)))
    rows = np.random.default_rng(0).permutation(len(table))[: options.faces]
    table = table.select(np.sort(rows))
    _, pixels = load_images(table, SIDE, cache_folder())
    works = {
        "bare decode loop, all cores": bare_decode,
        "first read (load_pixels)": first_read,
        "DataLoader epoch, 2 workers": loader_epoch,
        "later epoch": partial(later_epoch, pixels=pixels),
    }
    rates: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.repeats):
        for name, work in works.items():
            rates[name].append(rate(work, table))
    for name, seen in rates.items():
        print(f"{name:30} {statistics.median(seen):9.0f} faces/s  [{min(seen):.0f}, {max(seen):.0f}]")
    bare, first, loader, later = (np.array(seen) for seen in rates.values())
    print(f"first read / bare decode       {np.median(first / bare):9.2f}")
    print(f"later epoch / DataLoader       {np.median(later / loader):9.1f}")
    shares = [waiting_share(table) for _ in range(3)]
    print(f"waiting share of a cnn epoch   {statistics.median(shares):9.3%}")


if __name__ == "__main__":
    main()
