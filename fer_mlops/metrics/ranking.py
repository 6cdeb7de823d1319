"""Ranking metrics: AUROC and average precision of each emotion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.metrics.bootstrap import Resamples
from fer_mlops.metrics.classification import Labels, Scores

# largest number of weights (resamples times faces) processed at a time, to limit memory
_MOST_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Ranking:
    """Scores of each emotion [..., classes]; nan if all faces or no face show the emotion."""

    auroc: Scores
    """Probability that a face of the emotion gets a higher score for it than another face."""
    average_precision: Scores
    """Mean precision over the ranks of the emotion's faces; a random order gives the emotion's share."""


def rank_faces(labels: Labels, probabilities: NDArray[np.float64]) -> Ranking:
    """Returns the scores [classes] of faces with labels [n] and probabilities [n, classes]."""
    once = np.ones((1, len(labels)))
    ranking = _rank(labels, probabilities, once)
    return Ranking(ranking.auroc[0], ranking.average_precision[0])


def rank_resamples(labels: Labels, probabilities: NDArray[np.float64], resamples: Resamples) -> Ranking:
    """Returns the scores [resamples, classes]; each face is weighted by its number of draws."""
    at_once = max(1, _MOST_CELLS // max(1, len(labels)))
    parts = [
        _rank(labels, probabilities, resamples.weights[start : start + at_once][:, resamples.person])
        for start in range(0, len(resamples.weights), at_once)
    ]
    return Ranking(
        np.concatenate([part.auroc for part in parts]),
        np.concatenate([part.average_precision for part in parts]),
    )


def _rank(labels: Labels, probabilities: NDArray[np.float64], weights: Scores) -> Ranking:
    """Returns scores [draws, classes] for weights [draws, n]; equal probabilities share one rank.

    AUROC is the area under the straight lines between ranks (Fawcett, Pattern Recognition Letters
    27, 2006), average precision the sum over ranks of precision times the recall gained there.
    """
    num_classes = probabilities.shape[1]
    auroc = np.full((len(weights), num_classes), np.nan)
    precision = auroc.copy()
    for emotion in range(num_classes):
        is_member = labels == emotion
        if is_member.all() or not is_member.any():
            continue
        order = np.argsort(-probabilities[:, emotion], kind="stable")
        ranked = probabilities[order, emotion]
        # scikit-learn scores one resample at a time; here each cumulative sum covers all of them
        places = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        drawn = weights[:, order]
        hits = np.add.reduceat(drawn * is_member[order], places, axis=1)
        found = np.cumsum(hits, axis=1)
        everything = np.cumsum(np.add.reduceat(drawn, places, axis=1), axis=1)
        misses = np.diff(everything - found, axis=1, prepend=0.0)
        num, others = found[:, -1], everything[:, -1] - found[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):  # a resample may lack the emotion
            area = (misses * (found - hits / 2)).sum(1) / (num * others)
            mean = (hits * np.nan_to_num(found / everything)).sum(1) / num
        is_known = (num > 0) & (others > 0)
        auroc[is_known, emotion] = area[is_known]
        precision[is_known, emotion] = mean[is_known]
    return Ranking(auroc, precision)
