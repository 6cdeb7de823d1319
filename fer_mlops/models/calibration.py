"""Calibration of logits: probabilities and thresholds at each operating point."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from fer_mlops.config.validation import Settings

Logits = NDArray[np.float32]  # shape [n, classes]

OperatingPoint = Literal["default", "natural", "balanced"]
OPERATING_POINTS: tuple[OperatingPoint, ...] = get_args(OperatingPoint)
"""Operating point: the emotion frequencies that predictions assume."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration(Settings):
    """probabilities = softmax((logits + bias) / temperature)."""

    section: ClassVar[str] = "calibration."
    bias: tuple[float, ...]
    """[classes]; natural bias of the loss, with the prior reduced to ``prior_strength``."""
    temperature: float
    """Divisor of the logits; above 1 it lowers confidence (arXiv 1706.04599)."""
    prior_strength: float
    """Strength of the training frequencies in predictions: 1 natural, 0 all emotions equally likely."""
    log_prior: tuple[float, ...] = ()
    """[classes]; log of the training frequencies, empty if unknown."""
    balanced_strength: float = 1.0
    """Prior strength of the balanced operating point."""
    natural_temperature: float = 1.0
    balanced_temperature: float = 1.0
    threshold: float = 0.0
    """Confidence from which a prediction is sure; 0 if not fitted, above 1 if no prediction is sure."""
    natural_threshold: float = 0.0
    balanced_threshold: float = 0.0

    @property
    def is_ever_sure(self) -> bool:
        """Whether a prediction can reach the threshold."""
        return self.threshold <= 1

    def at(self, operating_point: OperatingPoint) -> Calibration:
        """Returns the calibration at an operating point.

        ``natural`` assumes the training frequencies and has the highest accuracy; ``balanced`` favours
        rare emotions; ``default`` lies between and has the best macro-F1 at almost the same accuracy.
        """
        if operating_point == "default" or not self.log_prior:
            return self
        is_natural = operating_point == "natural"
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
        """Returns calibrated probabilities [n, classes]; rows sum to 1."""
        moved = (np.asarray(logits, dtype=np.float64) + np.array(self.bias)) / self.temperature
        return softmax(moved)

    def is_sure(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Returns whether each of this calibration's predictions [n, classes] is sure, [n]."""
        return np.asarray(probabilities.max(1) >= self.threshold)


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the softmax of each row [n, classes]; the digits of ``scipy.special.softmax``."""
    # scipy takes a fifth of torch's time to import, and a prediction needs nothing else of it
    # shifted by the largest logit, so that exp cannot overflow
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the log of ``softmax``; the digits of ``scipy.special.log_softmax``."""
    moved = logits - logits.max(1, keepdims=True)
    return np.asarray(moved - np.log(np.exp(moved).sum(1, keepdims=True)))
