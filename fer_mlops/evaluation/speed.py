"""What a model costs: time to answer, and room on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.hog_svm import HogSvm

_BATCH = 64
"""Faces that are answered at once."""
_ROUNDS = 7
_LEAST_ROUNDS = 3
_SECONDS = 6.0
"""After which no further round begins."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one thread, measured here on faces decoded already; medians of several rounds."""

    faces_per_second: float
    """In a batch of 64."""
    milliseconds: float
    """For one face alone."""


def measure_speed(classifiers: Sequence[Classifier], faces: Sequence[NDArray[np.uint8]]) -> list[Speed]:
    """Returns how fast each classifier answers, each in turn so that a busy machine slows all alike.

    Args:
        classifiers: Models of any family.
        faces: For each, some faces uint8 [n, side, side] of its own size, n at least 1.
    """
    batches = [np.resize(few[:_BATCH], (_BATCH, *few.shape[1:])) for few in faces]
    together: list[list[float]] = [[] for _ in classifiers]
    alone: list[list[float]] = [[] for _ in classifiers]
    with threadpool_limits(1):  # torch's threads are of OpenMP, and so among them
        for classifier, batch in zip(classifiers, batches, strict=True):  # warms up
            _seconds(classifier, batch)
            _seconds(classifier, batch[:1])
        start = time.perf_counter()
        for number in range(_ROUNDS):
            if number >= _LEAST_ROUNDS and time.perf_counter() - start > _SECONDS:
                break
            for i, (classifier, batch) in enumerate(zip(classifiers, batches, strict=True)):
                together[i].append(_seconds(classifier, batch))
                alone[i] += [_seconds(classifier, batch[k : k + 1]) for k in range(3)]
    return [
        Speed(_BATCH / float(np.median(batch)), 1000 * float(np.median(single)))
        for batch, single in zip(together, alone, strict=True)
    ]


def count_parameters(classifier: Classifier) -> int:
    """Returns how many numbers the model consists of: weights, or the arrays of the baseline."""
    scorer = classifier.scorer
    if isinstance(scorer, HogSvm):
        return sum(int(getattr(scorer, field.name).size) for field in fields(scorer))
    assert isinstance(scorer, NetworkScorer)
    return sum(weights.numel() for weights in scorer.network.parameters())


def _seconds(classifier: Classifier, faces: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    classifier.predict_proba(faces)
    return time.perf_counter() - start
