"""Training state: everything that changes during training, so that it can be saved and restored."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn
from torch.amp import GradScaler
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from fer_mlops.config import TrainingConfig
from fer_mlops.errors import ConfigError
from fer_mlops.training import distributed
from fer_mlops.training.devices import random_module
from fer_mlops.training.examples import Examples
from fer_mlops.training.losses import Loss, face_weights
from fer_mlops.training.optimizers import OPTIMIZERS


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochResult:
    """Losses, scores and time of an epoch."""

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean loss over the epoch's augmented faces."""
    valid_loss: float
    """Mean of the same loss over all validation faces."""
    valid_accuracy: float
    valid_macro_f1: float
    valid_balanced_accuracy: float
    learning_rate: float
    """Learning rate at the end of the epoch."""
    seconds: float
    """Time for training and validation, without ``on_epoch``."""

    def metrics(self) -> dict[str, float]:
        """Returns the values by metric name in the tracking store."""
        return {
            "train/loss": self.train_loss,
            "valid/loss": self.valid_loss,
            "valid/accuracy": self.valid_accuracy,
            "valid/macro_f1": self.valid_macro_f1,
            "valid/balanced_accuracy": self.valid_balanced_accuracy,
            "train/learning_rate": self.learning_rate,
            "train/seconds_per_epoch": self.seconds,
        }


@dataclass(frozen=True, eq=False, slots=True)
class ValidationResult:
    """Loss, scores and probabilities of a network on a set of faces."""

    loss: float
    accuracy: float
    macro_f1: float
    balanced_accuracy: float
    probabilities: NDArray[np.float32]
    """[n, classes], under the training frequencies."""


class TrainingState:
    """Everything that changes during the training of a network."""

    def __init__(
        self, network: nn.Module, train: Examples, loss: Loss, config: TrainingConfig, seed: int
    ) -> None:
        self.network, self.train, self.loss, self.config = network, train, loss, config
        self.weights = face_weights(train.labels, config.sampling)
        self.device = next(network.parameters()).device
        self.generator = Generator().manual_seed(seed)
        self.optimizers = OPTIMIZERS[config.optimizer](network, config)
        is_open = config.precision == "auto"  # a caller that can measure has chosen already
        self.arithmetic: torch.dtype = torch.float32 if is_open else getattr(torch, config.precision)
        self.scaler = GradScaler(self.device.type, enabled=self.arithmetic == torch.float16)
        self.num_steps = max(1, math.ceil(len(train) / config.batch_size))
        _check_shares(len(train) // self.num_steps)
        num_steps = config.epochs * self.num_steps + 1
        self.schedules = [
            OneCycleLR(
                optimizer,
                [group["lr"] for group in optimizer.param_groups],
                total_steps=num_steps,
                cycle_momentum=isinstance(optimizer, AdamW),
            )
            if config.schedule == "one_cycle"
            else ReduceLROnPlateau(  # torch waits one epoch longer than its patience
                optimizer, mode="max", factor=0.5, patience=2
            )
            for optimizer in self.optimizers
        ]
        # with buffers: batch statistics belong to the averaged weights
        self.average = (
            AveragedModel(network, multi_avg_fn=_averaging(config.ema_decay), use_buffers=True)
            if config.ema_decay
            else None
        )
        self.epoch = 0
        self.stalled = 0
        self.best_score = -1.0
        self.best: dict[str, Tensor] = {}
        self.history: list[EpochResult] = []
        self.dropout: list[Tensor] = []

    @property
    def validated(self) -> nn.Module:
        """The averaged network if weights are averaged, else the network."""
        if self.average is None:
            return self.network
        inner = self.average.module
        assert isinstance(inner, nn.Module)
        return inner

    def batches(self) -> Iterator[NDArray[np.int64]]:
        """Yields the rows of each batch of an epoch: a shuffled pass, or draws with replacement."""
        n, generator = len(self.train), self.generator
        if self.config.sampling == "natural":
            order = torch.randperm(n, generator=generator)
        else:
            order = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        # of almost equal sizes, so that no small last batch weighs as much as the others
        yield from np.array_split(order.numpy(), self.num_steps)

    def step(self, batch_loss: Tensor) -> None:
        """Takes a step down the gradient of a batch's mean loss, a scalar."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.scaler.scale(batch_loss).backward()  # type: ignore[no-untyped-call]
        distributed.sum_gradients(self.network)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        scale = self.scaler.get_scale()
        self.scaler.update()
        if self.scaler.get_scale() < scale:
            return  # the gradient overflowed float16, so the scaler skipped the step
        for schedule in self.schedules:
            if isinstance(schedule, OneCycleLR):
                schedule.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def end_epoch(self, train_loss: float, outcome: ValidationResult, seconds: float) -> EpochResult:
        """Ends the epoch: stores its result, keeps its weights if best, lowers a stalled rate."""
        for schedule in self.schedules:
            if isinstance(schedule, ReduceLROnPlateau):
                schedule.step(outcome.macro_f1)
        if outcome.macro_f1 > self.best_score or self.config.keep_weights == "last":
            self.best_score, self.stalled = outcome.macro_f1, 0
            self.best = copy.deepcopy(self.validated.state_dict())
        else:
            self.stalled += 1
        result = EpochResult(
            epoch=self.epoch,
            train_loss=train_loss,
            valid_loss=outcome.loss,
            valid_accuracy=outcome.accuracy,
            valid_macro_f1=outcome.macro_f1,
            valid_balanced_accuracy=outcome.balanced_accuracy,
            learning_rate=float(self.optimizers[0].param_groups[0]["lr"]),
            seconds=seconds,
        )
        self.history.append(result)
        self.dropout = distributed.gather(random_module(self.device).get_rng_state())
        return result

    def state_dict(self) -> dict[str, object]:
        """Returns a copy of the state, as tensors and plain values."""
        # the next step changes the tensors in place
        return copy.deepcopy(
            {
                "epoch": self.epoch,
                "stalled": self.stalled,
                "best_score": self.best_score,
                "best": self.best,
                "network": self.network.state_dict(),
                "average": self.average.state_dict() if self.average else {},
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "schedules": [schedule.state_dict() for schedule in self.schedules],
                "order": self.generator.get_state(),
                "dropout": self.dropout,
                "scaler": self.scaler.state_dict(),
                "history": [asdict(result) for result in self.history],
            }
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores a state that ``state_dict`` returned."""
        self.epoch, self.stalled = state["epoch"], state["stalled"]
        self.best_score, self.best = state["best_score"], state["best"]
        self.network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
        self.generator.set_state(state["order"])
        # with another number of processes, dropout draws new numbers
        if len(state["dropout"]) == distributed.world_size():
            random_module(self.device).set_rng_state(state["dropout"][distributed.rank()])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.history = [EpochResult(**result) for result in state["history"]]


def _check_shares(smallest: int) -> None:
    """Raises ConfigError if a batch of ``smallest`` faces has fewer than two for each process."""
    if distributed.world_size() > 1 and smallest < 2 * distributed.world_size():
        raise ConfigError(
            f"batches of {smallest} faces are too small for {distributed.world_size()} processes, which "
            f"need two faces each; use fewer --processes or a larger training.batch_size"
        )


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Returns an exponential average of weights with a short initial time constant."""

    @torch.no_grad()
    def average(kept: Sequence[Tensor], new: Sequence[Tensor], step: Tensor | int) -> None:
        t = float(step)
        # as in TensorFlow; a long time constant from the start would keep the random first weights
        weight = 1 - min(decay, (1 + t) / (10 + t))
        if kept[0].is_floating_point():
            torch._foreach_lerp_(list(kept), list(new), weight)
        else:  # batch norm's counters
            torch._foreach_copy_(list(kept), list(new))

    return average
