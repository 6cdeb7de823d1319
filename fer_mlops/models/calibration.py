"""From logits to probabilities one can believe: prior strength and temperature, fitted on validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv, log_softmax, softmax

from fer_mlops.metrics.classification import (
    Labels,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
)

Logits = NDArray[np.float32]
"""Shape [n, classes]."""

OperatingPoint = Literal["default", "natural", "balanced"]
"""Operating point: what the answers assume of how frequent emotions are."""

_STRENGTHS = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
_MOST_LOST_BALANCED = 0.05
"""Accuracy that the balanced point may cost."""
_MOST_LOST = 0.005
"""Accuracy that a better macro-F1 may cost: with a dozen rare faces in validation, macro-F1 alone
would buy noise with it."""

_DOUBT = 0.05
"""Chance that the error of sure answers is above the one asked for, after all."""
_NEVER = 2.0
"""A threshold that no confidence reaches."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """probabilities = softmax((logits + bias) / temperature)."""

    bias: tuple[float, ...]
    """[classes]; natural bias of the loss, with the prior taken back to ``prior_strength``."""
    temperature: float
    """Above 1 makes the classifier less sure (arXiv 1706.04599)."""
    prior_strength: float
    """How much of the training frequencies the answers assume: 1 natural, 0 all emotions alike."""
    log_prior: tuple[float, ...] = ()
    """[classes]; log of the training frequencies, empty where they are not known."""
    balanced_strength: float = 1.0
    """Prior strength of the balanced operating point."""
    natural_temperature: float = 1.0
    balanced_temperature: float = 1.0
    threshold: float = 0.0
    """Confidence from which an answer is sure; 0 where none was fitted, above 1 where none is."""
    natural_threshold: float = 0.0
    balanced_threshold: float = 0.0

    def at(self, point: OperatingPoint) -> Calibration:
        """Returns the calibration of an operating point of the same model.

        ``natural`` assumes the training frequencies and is right most often; ``balanced`` favours
        rare emotions; ``default`` lies between, where macro-F1 is best at next to no cost.
        """
        if point == "default" or not self.log_prior:
            return self
        is_natural = point == "natural"
        strength = 1.0 if is_natural else self.balanced_strength
        moved = np.array(self.bias) + (strength - self.prior_strength) * np.array(self.log_prior)
        return replace(
            self,
            bias=tuple(moved.tolist()),
            temperature=self.natural_temperature if is_natural else self.balanced_temperature,
            prior_strength=strength,
            threshold=self.natural_threshold if is_natural else self.balanced_threshold,
        )

    def probabilities(self, logits: Logits) -> NDArray[np.float64]:
        """Returns [n, classes]; rows sum to 1."""
        moved = (np.asarray(logits, dtype=np.float64) + np.array(self.bias)) / self.temperature
        return np.asarray(softmax(moved, axis=1))

    def is_sure(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns which answers [n, classes] of this calibration reach the threshold [n]."""
        return np.asarray(probabilities.max(1) >= self.threshold)


def fit_calibration(
    logits: Logits,
    labels: Labels,
    natural_bias: NDArray[np.float32],
    log_prior: NDArray[np.float32],
) -> Calibration:
    """Returns the prior strengths of the operating points and the temperature with the least NLL.

    Post-hoc logit adjustment (arXiv 2007.07314, section 4.1): lowering the strength favours rare
    emotions. The default point has the best macro-F1 that costs at most half a point of validation
    accuracy, the balanced one the best balanced accuracy that costs at most five points; ties go to
    the strength nearer to natural.

    Args:
        logits: Of the validation faces [n, classes].
        labels: Their labels [n].
        natural_bias: What makes the logits natural [classes].
        log_prior: Log of the training frequencies [classes].
    """

    def bias(strength: float) -> NDArray[np.float64]:
        return np.asarray(natural_bias - (1 - strength) * log_prior, dtype=np.float64)

    counts = {s: confusion_counts(labels, (logits + bias(s)).argmax(1)) for s in _STRENGTHS}
    floor = float(accuracy(counts[1.0])) - _MOST_LOST
    allowed = [s for s in _STRENGTHS if float(accuracy(counts[s])) >= floor]
    strength = max(allowed, key=lambda s: float(macro_f1(counts[s])))
    lowest = float(accuracy(counts[1.0])) - _MOST_LOST_BALANCED
    cheap = [s for s in _STRENGTHS if float(accuracy(counts[s])) >= lowest]
    balanced_strength = max(cheap, key=lambda s: float(balanced_accuracy(counts[s])))
    rows = np.arange(len(labels))

    def temperature(at: float) -> float:
        moved = logits + bias(at)

        def nll(log_temperature: float) -> float:
            return float(-log_softmax(moved / np.exp(log_temperature), axis=1)[rows, labels].mean())

        best = minimize_scalar(nll, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
        return float(np.exp(best.x))

    return Calibration(
        bias=tuple(bias(strength).tolist()),
        temperature=temperature(strength),
        prior_strength=strength,
        log_prior=tuple(map(float, log_prior)),
        balanced_strength=balanced_strength,
        natural_temperature=temperature(1.0),
        balanced_temperature=temperature(balanced_strength),
    )


def with_thresholds(
    calibration: Calibration, logits: Logits, labels: Labels, max_error: float
) -> Calibration:
    """Returns the calibration with the threshold of each operating point.

    Args:
        calibration: Fitted to the same faces.
        logits: Of the validation faces [n, classes].
        labels: Their labels [n].
        max_error: Share of the sure answers that may be wrong.
    """

    def threshold(point: OperatingPoint) -> float:
        return fit_threshold(labels, calibration.at(point).probabilities(logits), max_error)

    return replace(
        calibration,
        threshold=threshold("default"),
        natural_threshold=threshold("natural"),
        balanced_threshold=threshold("balanced"),
    )


def fit_threshold(labels: Labels, probabilities: NDArray[np.float64], max_error: float) -> float:
    """Returns a low confidence from which at most ``max_error`` of the answers are wrong, 95 % sure.

    Selection with guaranteed risk (arXiv 1705.08500, algorithm 1): a binary search over the faces'
    confidences, each step by the upper Clopper-Pearson bound at its part of the doubt. It is above 1
    where no confidence will do, as with few faces: no error in 59 bounds it by 5 % in a single test.

    The bound holds for faces that chose nothing else. A run's validation faces have chosen epoch,
    operating point and temperature before, so that there it is somewhat too low.
    """
    confidence, is_wrong = probabilities.max(1), probabilities.argmax(1) != labels
    candidates = np.sort(confidence)[::-1]
    doubt = _DOUBT / max(1, len(labels).bit_length())
    threshold, low, high = _NEVER, 0, len(labels) - 1
    while low <= high:
        middle = (low + high) // 2
        is_answered = confidence >= candidates[middle]
        bound = largest_error(int(is_wrong[is_answered].sum()), int(is_answered.sum()), doubt)
        if bound <= max_error:
            threshold, low = float(candidates[middle]), middle + 1
        else:
            high = middle - 1
    return threshold


def largest_error(num_wrong: int, num: int, doubt: float) -> float:
    """Returns the upper Clopper-Pearson bound of an error rate (Biometrika 26, 1934)."""
    if num_wrong == num:
        return 1.0
    return float(betaincinv(num_wrong + 1, num - num_wrong, 1 - doubt))
