"""Classification scores from confusion counts, for any number of resamples at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS

Labels = NDArray[np.int64]  # shape [n]; indices into EMOTIONS
Counts = NDArray[np.int64] | NDArray[np.float64]
"""Shape [..., classes, classes]; row is the label, column the prediction."""
Scores = NDArray[np.float64]  # shape [...]; 0 to 1


@dataclass(frozen=True, slots=True)
class PerClass:
    """Scores of each class [..., classes]; recall and F1 are nan if the class has no face."""

    precision: Scores
    recall: Scores
    f1: Scores
    support: Scores


def confusion_counts(
    labels: Labels, predictions: Labels, num_classes: int = len(EMOTIONS)
) -> NDArray[np.int64]:
    """Returns the number of faces for each label (row) and prediction (column)."""
    flat = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def confusion_cells(labels: Labels, predictions: Labels) -> NDArray[np.float64]:
    """Returns the confusion counts of each face alone, [n, 7, 7]."""
    k = len(EMOTIONS)
    cells: NDArray[np.float64] = np.eye(k * k)[labels * k + predictions]
    return cells.reshape(-1, k, k)


def per_class(counts: Counts) -> PerClass:
    """Returns precision, recall, F1 and support of every class."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    support = counts.sum(-1).astype(np.float64)
    predicted = counts.sum(-2).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / support
        # 0 for a class that is never predicted, as in scikit-learn
        precision = np.where(predicted > 0, hits / predicted, 0.0)
        f1 = np.where(support > 0, 2 * hits / (support + predicted), np.nan)
    return PerClass(precision, recall, f1, support)


def accuracy(counts: Counts) -> Scores:
    """Returns the share of faces predicted correctly."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).sum(-1)
    return np.asarray(hits / np.maximum(counts.sum((-2, -1)), 1))


def balanced_accuracy(counts: Counts) -> Scores:
    """Returns the mean recall over classes that have faces."""
    return mean_over_present(per_class(counts).recall)


def macro_f1(counts: Counts) -> Scores:
    """Returns the mean F1 over classes that have faces."""
    return mean_over_present(per_class(counts).f1)


def mean_over_present(values: Scores) -> Scores:
    """Returns the mean over the last axis, ignoring nan; 0 if all values are nan."""
    present = np.isfinite(values)
    total = np.where(present, values, 0.0).sum(-1)
    return np.asarray(total / np.maximum(present.sum(-1), 1))


FEW = 30  # number of faces of a class below which its scores are too uncertain for a claim
