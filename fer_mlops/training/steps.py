"""Training steps and results, common to all model families."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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


def training_sets(
    num_faces: int, fractions: Sequence[float], seed: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yields number, from 1, and sorted rows of each training set of a learning curve.

    Args:
        num_faces: Number of training faces.
        fractions: Share of the faces in each set, ascending.
        seed: Seed of the order of the faces.
    """
    # of one order, so that each training set contains the smaller ones
    order = np.random.default_rng(seed).permutation(num_faces)
    for number, fraction in enumerate(fractions, start=1):
        yield number, np.sort(order[: max(2, round(fraction * num_faces))])


def curve_step(
    number: int,
    num_steps: int,
    num_faces: int,
    log_probabilities: NDArray[np.floating[Any]],
    labels: Labels,
    classifier: Classifier,
) -> Step:
    """Returns a point of a learning curve as a step.

    Args:
        number: Number of the training set, from 1.
        num_steps: Number of training sets.
        num_faces: Number of faces in this set.
        log_probabilities: Log-probabilities of the validation faces [n, 7].
        labels: Labels of the validation faces [n].
        classifier: Classifier trained on this set, not calibrated yet.
    """
    counts = confusion_counts(labels, log_probabilities.argmax(1))
    return Step(
        number=number,
        name=f"training set {number}/{num_steps}",
        metrics={
            "train/faces": num_faces,
            "valid/loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
            "valid/accuracy": float(accuracy(counts)),
            "valid/macro_f1": float(macro_f1(counts)),
            "valid/balanced_accuracy": float(balanced_accuracy(counts)),
        },
        probabilities=np.exp(log_probabilities),
        classifier=classifier,
        has_images=True,
        state=None,
    )
