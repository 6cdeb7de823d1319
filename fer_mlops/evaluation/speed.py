"""Model cost: prediction speed, latency of one face, number of parameters."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fer_mlops.images.arrays import Images
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.hog_svm import HogSvm

_BATCH = 64  # faces per batch
_ROUNDS = 7
_LEAST_ROUNDS = 3
_SECONDS = 6.0  # time limit in seconds, after which no further round starts


@dataclass(frozen=True, slots=True)
class Speed:
    """Prediction speed on one thread of this machine, without decoding; medians of several rounds."""

    faces_per_second: float
    """Throughput in batches of 64."""
    milliseconds: float
    """Latency of a single face."""


def measure_speed(classifiers: Sequence[Classifier], faces: Sequence[NDArray[np.uint8]]) -> list[Speed]:
    """Returns the speed of each classifier on faces of its input size, uint8 [n, side, side]."""
    batches = [np.resize(few[:_BATCH], (_BATCH, *few.shape[1:])) for few in faces]
    together: list[list[float]] = [[] for _ in classifiers]
    alone: list[list[float]] = [[] for _ in classifiers]
    with threadpool_limits(1):  # includes torch, whose threads are OpenMP's
        for classifier, batch in zip(classifiers, batches, strict=True):  # warm-up
            _seconds(classifier, batch)
            _seconds(classifier, batch[:1])
        start = time.perf_counter()
        # every round measures all classifiers in turn, so that other load on the machine slows them all
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
    """Returns the number of weights of a network, or of all array elements of the baseline."""
    scorer = classifier.scorer
    if isinstance(scorer, HogSvm):
        return sum(int(getattr(scorer, field.name).size) for field in fields(scorer))
    assert isinstance(scorer, NetworkScorer)
    return sum(weights.numel() for weights in scorer.network.parameters())


def _seconds(classifier: Classifier, faces: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    classifier.predict_proba(faces)
    return time.perf_counter() - start


def latency_ms(classifier: Classifier, pixels: Images) -> float:
    """Returns the milliseconds from one decoded face to its prediction, on one thread."""
    face = np.asarray(pixels[:1])
    with threadpool_limits(1):
        for _ in range(3):  # warm-up
            _seconds(classifier, face)
        medians = [np.median([_seconds(classifier, face) for _ in range(5)]) for _ in range(5)]
    return 1000 * float(min(medians))  # the smallest, so that the load of other workers matters little
