"""Fitting a network: no vendor, no files, nothing printed; ``on_epoch`` is the only hook."""

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
from fer_mlops.training import distributed
from fer_mlops.training.augmentation import Augment, Mix, unchanged, unmixed
from fer_mlops.training.devices import seeded
from fer_mlops.training.examples import Examples
from fer_mlops.training.losses import Loss
from fer_mlops.training.memory import explain_full_memory
from fer_mlops.training.state import EpochResult, Outcome, TrainingState


@dataclass(frozen=True, eq=False)
class Epoch:
    """What ``on_epoch`` is handed."""

    result: EpochResult
    probabilities: NDArray[np.float32]
    """Of the validation faces, [n, classes]."""
    natural_bias: Tensor
    """Of the loss that was minimised in this epoch."""
    network: nn.Module
    """The network that was validated, in evaluation mode; not to be changed."""
    state: Callable[[], dict[str, object]]
    """Returns all that ``fit`` needs to go on after this epoch."""


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
    mix: Mix = unmixed,
    on_epoch: OnEpoch | None = None,
    resume_from: Mapping[str, Any] | None = None,
) -> list[EpochResult]:
    """Fits ``network`` in place and returns its history; ends with the weights of its best epoch.

    Best is the highest validation macro-F1, of equals the earlier; or simply the last (``keep``). On
    the CPU of one machine, with one number of threads, equal arguments give equal numbers; on a GPU
    they may differ from run to run.

    Args:
        network: On the device it is to be trained on.
        train: Faces or features to fit.
        valid: Faces or features that choose the epoch.
        loss: What is minimised.
        config: How; ``config.device`` is not looked at here.
        seed: Of batch order, augmentation and dropout.
        augment: Applied to training batches only.
        mix: Applied to them after it, with their targets.
        on_epoch: Called after every epoch; may raise to end the fit.
        resume_from: What ``Epoch.state`` returned, to go on after that epoch.

    Raises:
        TrainingError: The loss is no longer a number, or ``resume_from`` is of another fit.
    """
    device = next(network.parameters()).device
    first_weights = [float(weight.detach().flatten()[0]) for weight in network.parameters()]
    distributed.check_alike("faces or weights", [len(train), len(valid), *first_weights])
    train, valid = train.kept_on(device), valid.kept_on(device)
    with seeded(seed, device):
        training_state = TrainingState(network, train, loss, config, seed)
        if resume_from is not None:
            _take_up(training_state, resume_from)
        while training_state.epoch < config.epochs and training_state.stalled < config.patience:
            started = time.perf_counter()
            training_state.epoch += 1
            train_loss = train_epoch(training_state, augment, mix)
            outcome = validate(
                training_state.validated, valid, training_state.loss, training_state.arithmetic
            )
            require_number("validation", outcome.loss, training_state)
            result = training_state.end_epoch(train_loss, outcome, time.perf_counter() - started)
            if on_epoch:
                bias = training_state.loss.natural_bias
                on_epoch(
                    Epoch(
                        result,
                        outcome.probabilities,
                        bias,
                        training_state.validated,
                        training_state.state_dict,
                    )
                )
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


def train_epoch(training_state: TrainingState, augment: Augment, mix: Mix) -> float:
    """Takes one pass over the training faces and returns the mean loss over them.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    training_state.network.train()
    losses, sizes, is_autocast = [], [], training_state.arithmetic != torch.float32
    done = (training_state.epoch - 1) / training_state.config.epochs

    def step(rows: NDArray[np.int64]) -> Tensor:
        inputs, targets = training_state.train.take(rows, training_state.device)
        # of the whole batch in every process: their random numbers do not depend on how many there are
        inputs, targets = mix(
            augment(inputs, training_state.generator, done), targets, training_state.generator
        )

        def measure() -> Tensor:
            with torch.autocast(
                training_state.device.type, training_state.arithmetic, enabled=is_autocast
            ):
                logits = distributed.forward(training_state.network, inputs)
            return training_state.loss.compute(logits.float(), targets)

        return training_state.step(measure)

    for rows in training_state.batches():
        with explain_full_memory(training_state.device, len(rows)):
            losses.append(step(rows))  # left where they are: reading one waits for the device
        sizes.append(len(rows))
    each = torch.stack(losses).cpu().double()
    mean = float(each @ torch.tensor(sizes, dtype=torch.float64)) / len(training_state.train)
    require_number("training", mean, training_state)
    return mean


def require_number(part: str, mean: float, training_state: TrainingState) -> None:
    """Returns if this epoch's mean loss is a number.

    Raises:
        TrainingError: It is not.
    """
    if not math.isfinite(mean):
        raise TrainingError(
            f"the {part} loss of epoch {training_state.epoch} is {mean}; lower training.learning_rate "
            f"({training_state.config.learning_rate:g})"
        )


@torch.inference_mode()
def network_logits(
    network: nn.Module,
    examples: Examples,
    device: torch.device,
    arithmetic: torch.dtype = torch.float32,
    batch_size: int = 256,
) -> Tensor:
    """Returns the network's logits [n, classes] on the CPU, in evaluation mode.

    Several processes share the work and all have the same answer.
    """
    network.eval()
    rows = np.arange(len(examples))
    starts = range(0, len(rows), batch_size)
    batches = (examples.take(rows[s : s + batch_size], device)[0] for s in starts)
    with torch.autocast(device.type, arithmetic, enabled=arithmetic != torch.float32):
        return torch.cat([distributed.forward(network, batch).float().cpu() for batch in batches])


def validate(
    network: nn.Module, valid: Examples, loss: Loss, arithmetic: torch.dtype = torch.float32
) -> Outcome:
    """Returns loss and scores over the whole of ``valid``, in the arithmetic of training.

    What a finished run reports is computed anew, on the CPU in float32, from the saved weights.
    """
    device = next(network.parameters()).device
    logits = network_logits(network, valid, device, arithmetic)
    natural = logits + loss.natural_bias
    counts = confusion_counts(valid.labels.numpy(), natural.argmax(1).numpy())
    return Outcome(
        loss=float(loss.compute(logits, valid.labels)),
        accuracy=float(accuracy(counts)),
        macro_f1=float(macro_f1(counts)),
        balanced_accuracy=float(balanced_accuracy(counts)),
        probabilities=natural.softmax(1).numpy(),
    )
