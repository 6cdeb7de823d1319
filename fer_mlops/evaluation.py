"""(labels, probabilities, identities) to a Report with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.calibration import Calibration, Logits
from fer_mlops.datasets.table import Labels
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics import (
    Scores,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
    per_class,
)
from fer_mlops.resampling import interval, resample_people

_BINS = 15
FEW = 30
"""Faces of a class below which its scores are no ground for a claim."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and the 95 % interval of its clustered bootstrap."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, kw_only=True)
class ClassReport:
    """Scores of one emotion; nan where it has no face."""

    emotion: str
    support: int
    precision: float
    recall: float
    f1: Estimate


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a classifier is worth on one set of faces."""

    num_faces: int
    num_people: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    nll: float
    """Mean negative log-likelihood of the true emotion, in nats."""
    ece: float
    """Expected calibration error: 15 equal-width bins of confidence (arXiv 1706.04599)."""
    classes: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows are labels, columns predictions, in the order of EMOTIONS."""

    def metrics(self, part: str) -> dict[str, float]:
        """Returns every number under the name it is tracked by, such as ``test/macro_f1``."""
        flat: dict[str, float] = {
            f"{part}/faces": self.num_faces,
            f"{part}/people": self.num_people,
            f"{part}/nll": self.nll,
            f"{part}/ece": self.ece,
        }
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            estimate: Estimate = getattr(self, name)
            flat[f"{part}/{name}"] = estimate.value
            flat[f"{part}/{name}_low"] = estimate.low
            flat[f"{part}/{name}_high"] = estimate.high
        for row in self.classes:
            if row.support:
                flat[f"{part}/precision/{row.emotion}"] = row.precision
                flat[f"{part}/recall/{row.emotion}"] = row.recall
                flat[f"{part}/f1/{row.emotion}"] = row.f1.value
        return flat

    def as_dict(self) -> dict[str, object]:
        """Returns the report as plain values, for JSON; a score that does not exist is None."""
        return {str(k): _plain(v) for k, v in dataclasses.asdict(self).items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def evaluate(
    labels: Labels,
    probabilities: NDArray[np.float64],
    identities: NDArray[np.str_],
    *,
    seed: int = 0,
) -> Report:
    """Returns scores and intervals; people, not faces, are resampled.

    Args:
        labels: [n], n at least 1.
        probabilities: [n, 7]; rows sum to 1.
        identities: Whose face each is, [n]; faces of a person are not independent.
        seed: Of the 2,000 resamples.
    """
    predictions = probabilities.argmax(1)
    counts = confusion_counts(labels, predictions)
    k = len(EMOTIONS)
    cells = np.eye(k * k)[labels * k + predictions].reshape(-1, k, k)
    resampled = resample_people(identities, seed=seed).totals(cells)

    def estimate(score: Callable[[NDArray[np.float64]], Scores]) -> Estimate:
        return Estimate(float(score(counts.astype(np.float64))), *interval(score(resampled)))

    own, spread = per_class(counts), per_class(resampled).f1
    classes = []
    for label, emotion in enumerate(EMOTIONS):
        classes.append(
            ClassReport(
                emotion=emotion,
                support=int(own.support[label]),
                precision=float(own.precision[label]),
                recall=float(own.recall[label]),
                f1=Estimate(float(own.f1[label]), *interval(spread[:, label])),
            )
        )
    return Report(
        num_faces=len(labels),
        num_people=len(np.unique(identities)),
        accuracy=estimate(accuracy),
        balanced_accuracy=estimate(balanced_accuracy),
        macro_f1=estimate(macro_f1),
        nll=negative_log_likelihood(labels, probabilities),
        ece=expected_calibration_error(labels, probabilities),
        classes=tuple(classes),
        confusion=tuple(tuple(map(int, row)) for row in counts),
    )


def negative_log_likelihood(labels: Labels, probabilities: NDArray[np.float64]) -> float:
    """Returns the mean of -log p(label), in nats; a probability counts as at least 1e-12."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def expected_calibration_error(labels: Labels, probabilities: NDArray[np.float64]) -> float:
    """Returns the mean gap between confidence and accuracy over 15 equal-width bins, 0 to 1."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = np.bincount(bins, confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def confidence_metrics(
    calibration: Calibration, logits: Logits, labels: Labels, part: str
) -> dict[str, float]:
    """Returns what calibration is worth on faces, under the names it is tracked by.

    ``ece_before_temperature`` is to be held against ``ece``; ``answered_share`` is that of the sure
    answers, ``answered_error`` how many of them are wrong, left out where there is none.
    """
    probabilities = calibration.probabilities(logits)
    raw = dataclasses.replace(calibration, temperature=1.0).probabilities(logits)
    is_sure = calibration.is_sure(probabilities)
    metrics = {
        f"{part}/ece_before_temperature": expected_calibration_error(labels, raw),
        f"{part}/answered_share": float(is_sure.mean()),
    }
    if is_sure.any():
        is_wrong = probabilities.argmax(1) != labels
        metrics[f"{part}/answered_error"] = float(is_wrong[is_sure].mean())
    return metrics
