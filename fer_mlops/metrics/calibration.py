"""Calibration metrics: log-likelihood, Brier score, calibration error, reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.metrics.bootstrap import Resamples
from fer_mlops.metrics.classification import Labels, Scores

NUM_BINS = 15
Probabilities = NDArray[np.float64]  # shape [n, classes]; rows sum to 1


def nll_of_each(labels: Labels, probabilities: Probabilities) -> Scores:
    """Returns -log p(label) of each face [n], in nats; a probability counts as at least 1e-12."""
    chosen = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(chosen, 1e-12)))


def brier_of_each(labels: Labels, probabilities: Probabilities) -> Scores:
    """Returns the squared distance of each face's probabilities to its label [n], 0 to 2.

    Brier, Monthly Weather Review 78 (1950), summed over emotions as there.
    """
    truth = np.eye(probabilities.shape[1])[labels]
    return np.asarray(((probabilities - truth) ** 2).sum(1))


def bin_of_each(confidence: Scores) -> NDArray[np.int64]:
    """Returns the bin of each confidence [n], 0 to 14, of 15 equal-width bins; 1 is in the last."""
    return np.minimum((confidence * NUM_BINS).astype(np.int64), NUM_BINS - 1)


def expected_calibration_error(labels: Labels, probabilities: Probabilities) -> float:
    """Returns the mean gap between confidence and accuracy over 15 equal-width bins, 0 to 1.

    Guo et al., arXiv 1706.04599, equation 3.
    """
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == labels
    gaps = np.bincount(bin_of_each(confidence), confidence - is_right, minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def resampled_calibration_error(
    labels: Labels, probabilities: Probabilities, resamples: Resamples
) -> Scores:
    """Returns the calibration error of each resample, [resamples], corrected for resampling bias."""
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == labels
    in_bin = np.eye(NUM_BINS)[bin_of_each(confidence)]
    gaps = np.abs(resamples.totals(in_bin * (confidence - is_right)[:, None])).sum(1)
    errors = gaps / resamples.totals(np.ones(len(labels)))
    # Resampling adds gaps by chance, so these errors are too large on average; their mean is moved to
    # the error of the sample (Efron and Tibshirani 1993, section 10.3).
    moved = errors - errors.mean() + expected_calibration_error(labels, probabilities)
    return np.asarray(np.clip(moved, 0, 1))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The faces whose confidence lies in one of 15 bins."""

    num: int
    confidence: float
    """Mean confidence of the faces; nan if the bin is empty."""
    accuracy: float


def reliability(labels: Labels, probabilities: Probabilities) -> tuple[ReliabilityBin, ...]:
    """Returns the bins of a reliability diagram, from the least confident to the most."""
    confidence, is_right = probabilities.max(1), probabilities.argmax(1) == labels
    place = bin_of_each(confidence)
    num = np.bincount(place, minlength=NUM_BINS)
    with np.errstate(invalid="ignore"):  # an empty bin has no mean
        mean = np.bincount(place, confidence, NUM_BINS) / num
        right = np.bincount(place, is_right, NUM_BINS) / num
    return tuple(
        ReliabilityBin(int(n), float(c), float(a)) for n, c, a in zip(num, mean, right, strict=True)
    )
