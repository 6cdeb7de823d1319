"""From logits to probabilities one can believe: prior strength and temperature, fitted on validation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from fer_mlops.datasets.table import Labels
from fer_mlops.metrics import accuracy, balanced_accuracy, confusion_counts, macro_f1

Logits = NDArray[np.float32]
"""Shape [n, classes]."""

Point = Literal["default", "natural", "balanced"]
"""Operating point: what the answers assume of how frequent emotions are."""

_STRENGTHS = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
_MOST_LOST_BALANCED = 0.05
"""Accuracy that the balanced point may cost."""
_MOST_LOST = 0.005
"""Accuracy that a better macro-F1 may cost: with a dozen rare faces in validation, macro-F1 alone
would buy noise with it."""


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

    def at(self, point: Point) -> Calibration:
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
        )

    def probabilities(self, logits: Logits) -> NDArray[np.float64]:
        """Returns [n, classes]; rows sum to 1."""
        moved = (np.asarray(logits, dtype=np.float64) + np.array(self.bias)) / self.temperature
        return np.asarray(softmax(moved, axis=1))


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
