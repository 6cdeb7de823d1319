"""Fitting a network: no vendor, no files, nothing printed; ``on_epoch`` is the only hook."""

from __future__ import annotations

import contextlib
import ctypes
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_mlops.augment import Augment, unchanged
from fer_mlops.config import TrainingConfig
from fer_mlops.errors import ConfigError, TrainingError
from fer_mlops.losses import Loss
from fer_mlops.metrics import accuracy, balanced_accuracy, confusion_counts, macro_f1
from fer_mlops.session import EpochResult, Examples, Outcome, Session


@dataclass(frozen=True, eq=False)
class Epoch:
    """What ``on_epoch`` is handed."""

    result: EpochResult
    probabilities: NDArray[np.float32]
    """Of the validation faces, [n, classes]."""
    network: nn.Module
    """The network that was validated, in evaluation mode; not to be changed."""
    state: Callable[[], dict[str, object]]
    """Returns all that ``fit`` needs to go on after this epoch."""


OnEpoch = Callable[[Epoch], None]
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Of glibc's malloc.h."""


def choose_device(name: str) -> torch.device:
    """Returns the torch device that ``name`` means; ``auto`` is CUDA, else MPS, else CPU.

    Raises:
        ConfigError: There is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"training.device {name!r} cannot be used here: {reason}") from error
    return device


def multiplies_bfloat16(device: torch.device) -> bool:
    """Returns whether ``device`` multiplies bfloat16 in hardware, about twice as fast as float32."""
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return device.type == "cuda"


def keep_heap() -> None:
    """Keeps the memory of freed tensors, where the C library is glibc.

    It would give every large one back to the system after each step and fault it in anew: a sixth of
    a small network's step on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


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
    resume_from: Mapping[str, Any] | None = None,
) -> list[EpochResult]:
    """Fits ``network`` in place and returns its history; ends with the weights of its best epoch.

    Best is the highest validation macro-F1, of equals the earlier; or simply the last (``keep``). On
    one machine and number of threads, equal arguments give equal numbers.

    Args:
        network: On the device it is to be trained on.
        train: Faces or features to fit.
        valid: Faces or features that choose the epoch.
        loss: What is minimised.
        config: How; ``config.device`` is not looked at here.
        seed: Of batch order, augmentation and dropout.
        augment: Applied to training batches only.
        on_epoch: Called after every epoch; may raise to end the fit.
        resume_from: What ``Epoch.state`` returned, to go on after that epoch.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    keep_heap()
    with torch.random.fork_rng():  # dropout draws from torch's global generator
        torch.manual_seed(seed)
        session = Session(network, train, loss, config, seed)
        if resume_from is not None:
            session.load_state_dict(resume_from)
        while session.epoch < config.epochs and session.stalled < config.patience:
            started = time.perf_counter()
            session.epoch += 1
            train_loss = train_epoch(session, augment)
            outcome = validate(session.validated, valid, loss)
            result = session.note(train_loss, outcome, time.perf_counter() - started)
            if on_epoch:
                on_epoch(Epoch(result, outcome.probabilities, session.validated, session.state_dict))
    network.load_state_dict(session.best)
    network.eval()
    return session.history


def train_epoch(session: Session, augment: Augment) -> float:
    """Takes one pass over the training faces and returns the mean loss over them.

    Raises:
        TrainingError: The loss is no longer a number.
    """
    session.network.train()
    is_autocast = session.config.precision == "bfloat16" or (
        session.config.precision == "auto" and multiplies_bfloat16(session.device)
    )
    total = torch.zeros((), dtype=torch.float64)
    for rows in session.batches():
        inputs, labels = session.train.take(rows, session.device)
        inputs = augment(inputs, session.generator)
        with torch.autocast(session.device.type, torch.bfloat16, enabled=is_autocast):
            logits = session.network(inputs)
        batch_loss = session.loss.compute(logits.float(), labels)
        session.step(batch_loss)
        total += batch_loss.detach().cpu() * len(rows)
    mean = float(total) / len(session.train)
    if not math.isfinite(mean):
        raise TrainingError(
            f"the training loss of epoch {session.epoch} is {mean}; lower training.learning_rate "
            f"({session.config.learning_rate:g})"
        )
    return mean


@torch.inference_mode()
def network_logits(
    network: nn.Module, examples: Examples, device: torch.device, batch_size: int = 256
) -> Tensor:
    """Returns the network's logits [n, classes] on the CPU, in evaluation mode."""
    network.eval()
    rows = np.arange(len(examples))
    starts = range(0, len(rows), batch_size)
    parts = [network(examples.take(rows[s : s + batch_size], device)[0]).float().cpu() for s in starts]
    return torch.cat(parts)


def validate(network: nn.Module, valid: Examples, loss: Loss) -> Outcome:
    """Returns loss and scores over the whole of ``valid``."""
    device = next(network.parameters()).device
    logits = network_logits(network, valid, device)
    natural = logits + loss.natural_bias
    counts = confusion_counts(valid.labels.numpy(), natural.argmax(1).numpy())
    return Outcome(
        loss=float(loss.compute(logits, valid.labels)),
        accuracy=float(accuracy(counts)),
        macro_f1=float(macro_f1(counts)),
        balanced_accuracy=float(balanced_accuracy(counts)),
        probabilities=natural.softmax(1).numpy(),
    )
