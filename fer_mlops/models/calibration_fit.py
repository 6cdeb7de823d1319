"""Calibration fitted on validation faces: prior strengths, temperatures and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betaincinv

from fer_mlops.metrics.classification import (
    Counts,
    Labels,
    Scores,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
)
from fer_mlops.models.calibration import Calibration, Logits, OperatingPoint, log_softmax

_STRENGTHS = (1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25)
_MOST_LOST_BALANCED = 0.05  # largest loss of accuracy at the balanced operating point
# largest loss of accuracy at the default operating point: with a dozen rare faces in validation, a
# better macro-F1 can be noise
_MOST_LOST = 0.005

_DOUBT = 0.05  # probability that the error of sure predictions exceeds the requested limit
_NEVER = 2.0  # a threshold that no confidence reaches


def fit_calibration(
    logits: Logits,
    labels: Labels,
    natural_bias: NDArray[np.float32],
    log_prior: NDArray[np.float32],
) -> Calibration:
    """Returns the fitted prior strengths of the operating points, and temperatures with the least NLL.

    The default point has the best macro-F1 within half a percentage point of the natural point's
    accuracy, the balanced point the best balanced accuracy within five percentage points.

    Args:
        logits: Logits of the validation faces [n, classes].
        labels: Labels of the validation faces [n].
        natural_bias: Bias that gives log-odds under the training frequencies [classes].
        log_prior: Log of the training frequencies [classes].
    """

    def bias(strength: float) -> NDArray[np.float64]:
        return np.asarray(natural_bias - (1 - strength) * log_prior, dtype=np.float64)

    counts = {s: confusion_counts(labels, (logits + bias(s)).argmax(1)) for s in _STRENGTHS}

    def best(score: Callable[[Counts], Scores], most_lost: float) -> float:
        floor = float(accuracy(counts[1.0])) - most_lost
        allowed = [s for s in _STRENGTHS if float(accuracy(counts[s])) >= floor]
        # of equal strengths the first, which is closest to natural
        return max(allowed, key=lambda s: float(score(counts[s])))

    # post-hoc logit adjustment (arXiv 2007.07314, section 4.1): a lower strength favours rare emotions
    strength = best(macro_f1, _MOST_LOST)
    balanced_strength = best(balanced_accuracy, _MOST_LOST_BALANCED)
    rows = np.arange(len(labels))

    def temperature(at: float) -> float:
        moved = logits + bias(at)

        def nll(log_temperature: float) -> float:
            return float(-log_softmax(moved / np.exp(log_temperature))[rows, labels].mean())

        fitted = minimize_scalar(nll, bounds=(np.log(0.2), np.log(5.0)), method="bounded")
        return float(np.exp(fitted.x))

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
    """Returns the calibration with a threshold for each operating point, fitted on the same faces.

    ``max_error`` is the share of sure predictions that may be wrong.
    """

    def threshold(operating_point: OperatingPoint) -> float:
        return fit_threshold(labels, calibration.at(operating_point).probabilities(logits), max_error)

    return replace(
        calibration,
        threshold=threshold("default"),
        natural_threshold=threshold("natural"),
        balanced_threshold=threshold("balanced"),
    )


def fit_threshold(labels: Labels, probabilities: NDArray[np.float64], max_error: float) -> float:
    """Returns a low confidence from which at most ``max_error`` of predictions are wrong, at 95%.

    The result is above 1 if no confidence is enough, as with few faces: even a single test needs 59
    faces without an error to bound it by 5%. The bound holds for faces that selected nothing else; a
    run's validation faces also selected epoch, operating point and temperature, so it is somewhat low.
    """
    confidence, is_wrong = probabilities.max(1), probabilities.argmax(1) != labels
    candidates = np.sort(confidence)[::-1]
    # Selection with guaranteed risk (arXiv 1705.08500, algorithm 1): a binary search over confidences,
    # in which each step tests the upper Clopper-Pearson bound at its share of the 5%.
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
