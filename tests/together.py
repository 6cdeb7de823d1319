"""What several processes fit together and one fits alone; started as ``python together.py FOLDER``."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from fer_mlops.config import AugmentConfig, CnnConfig, TrainingConfig
from fer_mlops.errors import TrainingError
from fer_mlops.models import build_network
from fer_mlops.training import distributed
from fer_mlops.training.augmentation import make_augment
from fer_mlops.training.checkpoints import load_checkpoint, save_checkpoint
from fer_mlops.training.examples import Examples
from fer_mlops.training.feature_cache import frozen_features
from fer_mlops.training.loop import Epoch, fit
from fer_mlops.training.losses import LOSSES

NUM = 45
"""Odd, so that shares are unequal."""
PLAIN = TrainingConfig(epochs=2, batch_size=9, precision="float32", loss="class_weighted")
MUON = dataclasses.replace(
    PLAIN, optimizer="muon", schedule="one_cycle", ema_decay=0.9, loss="logit_adjusted"
)
CNN = CnnConfig(image_size=16, widths=(8, 8), depths=(1, 1), hidden=8, dropout=0.3)


def faces(seed: int = 0) -> Examples:
    pixels = np.random.default_rng(seed).integers(0, 255, (NUM, 16, 16)).astype(np.uint8)
    return Examples(pixels, torch.arange(NUM) ** 2 % 7)


def without_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 7))


def with_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return build_network("cnn", CNN, 7)


def fitted(network: nn.Module, config: TrainingConfig, **options: Any) -> dict[str, Any]:
    loss = LOSSES[config.loss](torch.bincount(faces().labels, minlength=7), 0.1)
    augment = make_augment(AugmentConfig(random_erasing=0.5))
    history = fit(network, faces(), faces(1), loss, config, seed=3, augment=augment, **options)
    numbers = [[r.train_loss, r.valid_loss, r.valid_accuracy, r.valid_macro_f1] for r in history]
    return {"weights": network.state_dict(), "history": torch.tensor(numbers)}


def resumed(folder: Path) -> dict[str, Any]:
    """Fits as ``with_batch_norm``, killed after its first epoch."""
    path = folder / "checkpoint.pt"

    def save(epoch: Epoch) -> None:
        if epoch.result.epoch == 1 and distributed.rank() == 0:
            save_checkpoint(path, epoch.state())

    fitted(with_batch_norm(), PLAIN, on_epoch=save)
    torch.distributed.barrier()
    return fitted(with_batch_norm(), PLAIN, resume_from=load_checkpoint(path))


def seen() -> Tensor:
    """Returns the examples this process's network was trained on in one epoch."""
    numbers: list[Tensor] = []

    class Recorder(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            if self.training:
                numbers.append(inputs[:, 0].detach().clone())
            return super().forward(inputs)

    examples = Examples(torch.arange(NUM).float()[:, None], torch.arange(NUM) % 7)
    loss = LOSSES["cross_entropy"](torch.ones(7), 0.0)
    fit(Recorder(1, 7), examples, examples, loss, dataclasses.replace(PLAIN, epochs=1), seed=0)
    return torch.cat(numbers)


def embedded() -> Tensor:
    pixels = faces().inputs
    assert isinstance(pixels, np.ndarray)
    return frozen_features(
        without_batch_norm(), pixels, device=torch.device("cpu"), batch_size=12, mirrored=True
    )


def lost() -> str:
    """Returns what the first process says when the last one dies in its third step."""
    steps = []

    def die(inputs: Tensor, _: Generator) -> Tensor:
        steps.append(1)
        if len(steps) == 3 and distributed.rank() == distributed.world_size() - 1:
            os._exit(9)
        return inputs

    loss = LOSSES["cross_entropy"](torch.ones(7), 0.0)
    try:
        fit(without_batch_norm(), faces(), faces(1), loss, PLAIN, seed=0, augment=die)
    except TrainingError as error:
        return str(error)
    return "nothing"


def unlike() -> str:
    """Returns what is said where one process has other weights."""
    network = nn.Linear(1, 7)
    with torch.no_grad():
        network.weight.fill_(distributed.rank())
    examples = Examples(torch.ones(NUM, 1), torch.arange(NUM) % 7)
    loss = LOSSES["cross_entropy"](torch.ones(7), 0.0)
    try:
        fit(network, examples, examples, loss, PLAIN, seed=0)
    except TrainingError as error:
        return str(error)
    return "nothing"


def main(folder: Path) -> None:
    with distributed.process_group(int(os.environ["WORLD_SIZE"])):
        results = {
            "plain": fitted(without_batch_norm(), PLAIN),
            "muon": fitted(without_batch_norm(), MUON),
            "batch norm": fitted(with_batch_norm(), PLAIN),
            "resumed": resumed(folder),
            "seen": seen(),
            "embedded": embedded(),
            "unlike": unlike(),
        }
        torch.save(results, folder / f"{distributed.rank()}.pt")
        (folder / "lost.txt").write_text(lost())


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
