"""Training steps and results, common to all model families."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_mlops.metrics.classification import (
    Labels,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
)
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One epoch of a network, or one point of the baseline's learning curve."""

    number: int
    """Number of the step, from 1; the horizontal axis of every chart."""
    name: str
    """Name for readers, such as ``epoch 3/12``."""
    metrics: Mapping[str, float]
    probabilities: NDArray[np.floating[Any]]
    """Probabilities of the validation faces, [n, 7]."""
    classifier: Classifier
    """Classifier after this step, not calibrated yet; must not be changed."""
    has_images: bool
    """Whether images of this step are worth the time to draw them."""
    state: Callable[[], dict[str, Any]] | None
    """Returns the state from which ``train_classifier`` can resume; None if the family cannot."""

    def summary(self, run: str = "") -> str:
        """Returns name and scores in one line, after the name of the run if there is one."""
        shown = {
            "loss": self.metrics.get("train/loss"),
            "valid loss": self.metrics["valid/loss"],
            "valid accuracy": self.metrics["valid/accuracy"],
            "valid macro-F1": self.metrics["valid/macro_f1"],
        }
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
        return f"{run and f'{run}: '}{self.name}  {numbers}"


OnStep = Callable[[Step], None]
OnRunStep = Callable[[str, Step], None]
"""Called with the name of a run, such as ``seed 0``, and a step of it."""


def ignore_step(_: str, __: Step) -> None:
    """Does nothing after a step."""


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """Result of training."""

    classifier: Classifier
    facts: Mapping[str, str]
    """Choices made during training, such as the backbone and the reason for it."""


def uncalibrated(bias: NDArray[np.float32]) -> Calibration:
    """Returns a calibration that only adds ``bias`` [7] to the logits."""
    return Calibration(bias=tuple(map(float, bias)), temperature=1.0, prior_strength=1.0)


def valid_metrics(log_probabilities: NDArray[np.floating[Any]], labels: Labels) -> dict[str, float]:
    """Returns loss and scores of the validation faces, from log-probabilities [n, 7] and labels [n]."""
    counts = confusion_counts(labels, log_probabilities.argmax(1))
    return {
        "valid/loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "valid/accuracy": float(accuracy(counts)),
        "valid/macro_f1": float(macro_f1(counts)),
        "valid/balanced_accuracy": float(balanced_accuracy(counts)),
    }
