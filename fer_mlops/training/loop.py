"""Training loop: writes no files and prints nothing; ``on_epoch`` and ``advance`` are its hooks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_mlops.config import TrainingConfig
from fer_mlops.errors import TrainingError
from fer_mlops.metrics.classification import accuracy, balanced_accuracy, confusion_counts, macro_f1
from fer_mlops.progress import Advance, ignore_progress
from fer_mlops.training import distributed
from fer_mlops.training.augmentation import Augment, unchanged
from fer_mlops.training.devices import explain_full_memory, seeded
from fer_mlops.training.examples import Examples
from fer_mlops.training.losses import Loss
from fer_mlops.training.state import EpochResult, TrainingState, ValidationResult


@dataclass(frozen=True, eq=False)
class Epoch:
    """Argument of ``on_epoch``."""

    result: EpochResult
    num_epochs: int
    """Number of epochs, unless patience ends the training earlier."""
    probabilities: NDArray[np.float32]
    """Probabilities of the validation faces, [n, classes]."""
    natural_bias: Tensor
    """Natural bias of the loss, [classes]."""
    network: nn.Module
    """Validated network, in evaluation mode; must not be changed."""
    state: Callable[[], dict[str, object]]
    """Returns the state from which ``fit`` can resume after this epoch."""


OnEpoch = Callable[[Epoch], None]


def fit(
    network: nn.Module,
    train: Examples,
    valid: Examples,
    loss: Loss,
    config: TrainingConfig,
    *,
    seed: int,
    augment: Augment = unchanged,
    on_epoch: OnEpoch | None = None,
    advance: Advance = ignore_progress,
    resume_from: Mapping[str, Any] | None = None,
) -> list[EpochResult]:
    """Trains ``network`` in place and returns its history; ends with the weights of its best epoch.

    The best epoch has the highest validation macro-F1, the earliest one if several are equal; with
    ``config.keep_weights == "last"`` it is the last epoch. Equal arguments give equal numbers on the
    CPU of one machine with the same number of threads; on a GPU they may differ from run to run.

    Args:
        network: Network, on the device to train on.
        train: Faces or features to train on.
        valid: Faces or features that select the epoch.
        loss: Loss to minimise.
        config: Training settings; ``config.device`` is ignored, and precision ``auto`` is float32.
        seed: Seed of batch order, augmentation and dropout.
        augment: Augmentation of training batches.
        on_epoch: Called after every epoch; may raise to stop training.
        advance: Called with the number of faces just trained on or validated; in all, those of every
            epoch of ``config``.
        resume_from: Result of ``Epoch.state``, to resume after that epoch.

    Raises:
        TrainingError: The loss is not finite, or ``resume_from`` does not fit the network and settings.
    """
    device = next(network.parameters()).device
    # one number of each tensor is enough to find weights that were loaded or drawn differently
    first_weights = [float(weight.detach().flatten()[0]) for weight in network.parameters()]
    distributed.check_alike([len(train), len(valid), *first_weights])
    train, valid = train.kept_on(device), valid.kept_on(device)
    with seeded(seed, device):
        training_state = TrainingState(network, train, loss, config, seed)
        if resume_from is not None:
            _take_up(training_state, resume_from)
        num_faces = len(train) + len(valid)
        advance(training_state.epoch * num_faces)  # epochs before a resumed run was killed
        while training_state.epoch < config.epochs and training_state.stalled < config.patience:
            started = time.perf_counter()
            training_state.epoch += 1
            train_loss = train_epoch(training_state, augment, advance)
            outcome = validate(training_state.validated, valid, loss, training_state.arithmetic)
            require_number("validation", outcome.loss, training_state)
            result = training_state.end_epoch(train_loss, outcome, time.perf_counter() - started)
            if on_epoch:
                on_epoch(
                    Epoch(
                        result,
                        config.epochs,
                        outcome.probabilities,
                        loss.natural_bias,
                        training_state.validated,
                        training_state.state_dict,
                    )
                )
            advance(len(valid))
        advance((config.epochs - training_state.epoch) * num_faces)  # patience ended it early
    network.load_state_dict(training_state.best)
    network.eval()
    return training_state.history


def _take_up(training_state: TrainingState, state: Mapping[str, Any]) -> None:
    try:
        training_state.load_state_dict(state)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TrainingError(
            f"the checkpoint does not fit this run's network and settings ({reason[0]}); start a new run"
        ) from error


_RECENT = 50  # number of batches whose mean loss is shown during an epoch


def train_epoch(
    training_state: TrainingState, augment: Augment, advance: Advance = ignore_progress
) -> float:
    """Trains for one pass over the training faces and returns their mean loss.

    Raises TrainingError if the loss is not finite.
    """
    training_state.network.train()
    losses: list[Tensor] = []
    sizes: list[int] = []
    is_autocast, started = training_state.arithmetic != torch.float32, time.perf_counter()

    def step(rows: NDArray[np.int64]) -> Tensor:
        inputs, targets = training_state.train.take(rows, training_state.device)
        # every process augments the whole batch, so random numbers do not depend on their number
        inputs = augment(inputs, training_state.generator)
        with torch.autocast(training_state.device.type, training_state.arithmetic, enabled=is_autocast):
            logits = distributed.forward(training_state.network, inputs)
        batch_loss = training_state.loss.compute(logits.float(), targets)
        training_state.step(batch_loss)
        return batch_loss.detach()

    def note() -> str:
        loss = float(torch.stack(losses[-_RECENT:]).mean())
        speed = sum(sizes) / (time.perf_counter() - started)
        position = f"epoch {training_state.epoch}/{training_state.config.epochs}"
        return f"{position}, loss {loss:.3f}, {speed:.0f} faces/s"

    for rows in training_state.batches():
        with explain_full_memory(training_state.device, len(rows)):
            losses.append(step(rows))  # left where they are: reading one waits for the device
        sizes.append(len(rows))
        advance(len(rows), note)
    # weighted by size, as the last batch may be smaller; doubles, as thousands of losses are summed
    each = torch.stack(losses).cpu().double()
    mean = float(each @ torch.tensor(sizes, dtype=torch.float64)) / len(training_state.train)
    require_number("training", mean, training_state)
    return mean


def require_number(part: str, mean: float, training_state: TrainingState) -> None:
    """Raises TrainingError unless this epoch's mean loss on a part of the split is finite."""
    if not math.isfinite(mean):
        raise TrainingError(
            f"the {part} loss of epoch {training_state.epoch} is {mean}; lower training.learning_rate "
            f"({training_state.config.learning_rate:g})"
        )


_AT_ONCE = 256  # faces scored at a time; without gradients they need little memory


@torch.inference_mode()
def network_logits(
    network: nn.Module,
    examples: Examples,
    device: torch.device,
    arithmetic: torch.dtype = torch.float32,
) -> Tensor:
    """Returns the network's logits [n, classes] on the CPU, in evaluation mode."""
    network.eval()
    rows = np.arange(len(examples))
    starts = range(0, len(rows), _AT_ONCE)
    batches = (examples.take(rows[s : s + _AT_ONCE], device)[0] for s in starts)
    with torch.autocast(device.type, arithmetic, enabled=arithmetic != torch.float32):
        return torch.cat([distributed.forward(network, batch).float().cpu() for batch in batches])


def validate(
    network: nn.Module, valid: Examples, loss: Loss, arithmetic: torch.dtype = torch.float32
) -> ValidationResult:
    """Returns loss and scores on all of ``valid``, in the arithmetic of training.

    The final report of a run is computed on the CPU in float32 from the saved weights instead.
    """
    device = next(network.parameters()).device
    logits = network_logits(network, valid, device, arithmetic)
    natural = logits + loss.natural_bias
    counts = confusion_counts(valid.labels.numpy(), natural.argmax(1).numpy())
    return ValidationResult(
        loss=float(loss.compute(logits, valid.labels)),
        accuracy=float(accuracy(counts)),
        macro_f1=float(macro_f1(counts)),
        balanced_accuracy=float(balanced_accuracy(counts)),
        probabilities=natural.softmax(1).numpy(),
    )
