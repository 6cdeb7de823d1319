"""Latency of a classifier on one face."""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import threadpool_limits

from fer_mlops.images.arrays import Images
from fer_mlops.models.classifier import Classifier

_WARM, _ROUNDS, _TIMES = 3, 5, 5


def latency_ms(classifier: Classifier, pixels: Images) -> float:
    """Returns the milliseconds from one decoded face to its prediction, on one thread.

    Takes the smallest median over several rounds, so that the load of other workers matters little.

    Args:
        classifier: Classifier to time; the values of its weights do not matter.
        pixels: Faces of its size, uint8 [n, side, side].
    """
    face = np.asarray(pixels[:1])
    medians = []
    with threadpool_limits(1):  # also limits torch, which uses OpenMP threads
        for _ in range(_WARM):
            classifier.predict_proba(face)
        for _ in range(_ROUNDS):
            seconds = []
            for _ in range(_TIMES):
                start = time.perf_counter()
                classifier.predict_proba(face)
                seconds.append(time.perf_counter() - start)
            medians.append(float(np.median(seconds)))
    return 1000 * min(medians)
