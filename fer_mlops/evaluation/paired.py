"""Paired comparison of two classifiers on the same faces: difference, interval and p-value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.report import plain
from fer_mlops.metrics.bootstrap import (
    LEAST_FOR_INTERVAL,
    LEAST_FOR_P,
    Numbers,
    Resamples,
    Units,
    interval,
    p_of,
    resample_people,
)
from fer_mlops.metrics.classification import (
    Labels,
    Scores,
    accuracy,
    balanced_accuracy,
    confusion_cells,
    confusion_counts,
    macro_f1,
)
from fer_mlops.models.calibration import OperatingPoint


@dataclass(frozen=True, slots=True)
class Difference:
    """Score of A minus score of B on the same faces; nan if there are no faces."""

    a: float
    b: float
    value: float
    """a - b, -1 to 1."""
    low: float
    """Lower end of the 95% interval of a paired bootstrap that resamples people. ``low``, ``high`` and
    ``probability`` are nan below 5 people."""
    high: float
    """Upper end of the interval."""
    probability: float
    """Share of resamples in which A is better; ties count half."""
    p: float
    """Two-sided p-value of no difference (Student's t); nan below 10 people."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    @property
    def interval(self) -> str:
        """Interval as text, such as ``[+0.010, +0.050]``."""
        return f"[{self.low:+.3f}, {self.high:+.3f}]" if np.isfinite(self.low) else "[–]"

    def __str__(self) -> str:
        return f"{self.value:+.3f} {self.interval}"


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's exact test of equal accuracy (Psychometrika 12, 1947).

    The test assumes independent faces, but faces of one person are not. With many faces of few people
    its p is too small; trust the bootstrap over people instead.
    """

    only_a: int
    """Number of faces that only A classifies correctly."""
    only_b: int
    p: float
    """Two-sided p-value; 1 if both are right on the same faces, nan below 10 people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPairing:
    """Wins and losses on the faces of one emotion."""

    emotion: str
    support: int
    both: int
    """Number of faces that both classify correctly."""
    only_a: int
    only_b: int
    neither: int
    recall: Difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """Paired comparison of classifiers A and B on the same faces."""

    num_faces: int
    num_people: int
    units: Units
    """Resampling units of the intervals: people or faces."""
    operating_point: OperatingPoint
    macro_f1: Difference
    balanced_accuracy: Difference
    accuracy: Difference
    mcnemar: McNemar
    classes: tuple[ClassPairing, ...]
    """In the order of EMOTIONS."""

    def as_dict(self) -> dict[str, object]:
        """Returns the pairing as plain values, for JSON; a number that does not exist is None."""
        return {str(key): plain(value) for key, value in dataclasses.asdict(self).items()}


def pair(
    a: LabelledPredictions,
    b: LabelledPredictions,
    operating_point: OperatingPoint = "default",
    seed: int = 0,
) -> Pairing:
    """Returns the paired comparison of A and B on the same faces in the same order.

    Raises:
        DataError: There are no faces, or the two classifiers predicted different faces.
    """
    if a.table.paths != b.table.paths or not np.array_equal(a.labels, b.labels):
        raise DataError("the predictions of the two classifiers are for different faces or labels")
    if not len(a):
        raise DataError("there are no predictions to compare")
    labels = a.labels
    predictions = [classifier.probabilities(operating_point).argmax(1) for classifier in (a, b)]
    right_a, right_b = (predicted == labels for predicted in predictions)
    # each resample draws the same people for both
    drawn, units = resample_people(a.identities, seed=seed), Units.of(a.identities)
    counts = [confusion_counts(labels, predicted).astype(np.float64) for predicted in predictions]
    resampled = [drawn.totals(confusion_cells(labels, predicted)) for predicted in predictions]

    def differ(score: Callable[[Numbers], Scores]) -> Difference:
        own = [float(score(count)) for count in counts]
        return _difference(own[0], own[1], score(resampled[0]) - score(resampled[1]), units.num)

    exact = mcnemar(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()))
    return Pairing(
        num_faces=len(labels),
        num_people=units.num_people,
        units=units,
        operating_point=operating_point,
        macro_f1=differ(macro_f1),
        balanced_accuracy=differ(balanced_accuracy),
        accuracy=differ(accuracy),
        mcnemar=exact if units.num >= LEAST_FOR_P else dataclasses.replace(exact, p=float("nan")),
        classes=_classes(labels, right_a, right_b, drawn),
    )


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """Returns McNemar's exact test for the numbers of faces that only A or only B gets right."""
    num = only_a + only_b
    return McNemar(only_a, only_b, float(binomtest(only_a, num).pvalue) if num else 1.0)


def _classes(
    labels: Labels, right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], drawn: Resamples
) -> tuple[ClassPairing, ...]:
    of_class = np.eye(len(EMOTIONS))[labels]
    with np.errstate(invalid="ignore"):  # an emotion without faces has no recall
        own = [(of_class * right[:, None]).sum(0) / of_class.sum(0) for right in (right_a, right_b)]
        gained = drawn.totals(of_class * (right_a.astype(float) - right_b)[:, None])
        gaps = gained / drawn.totals(of_class)
    rows = []
    for label, emotion in enumerate(EMOTIONS):
        right = right_a[labels == label], right_b[labels == label]
        both = int((right[0] & right[1]).sum())
        only_a, only_b = int(right[0].sum()) - both, int(right[1].sum()) - both
        rows.append(
            ClassPairing(
                emotion=emotion,
                support=len(right[0]),
                both=both,
                only_a=only_a,
                only_b=only_b,
                neither=len(right[0]) - both - only_a - only_b,
                recall=_difference(
                    float(own[0][label]),
                    float(own[1][label]),
                    gaps[:, label],
                    drawn.count(labels == label),
                ),
            )
        )
    return tuple(rows)


def _difference(a: float, b: float, gaps: Numbers, num: int) -> Difference:
    """Returns the difference of two scores of ``num`` people.

    ``gaps`` is the difference in each resample; nan if a resample drew no face.
    """
    known = gaps[np.isfinite(gaps)]
    known = np.where(np.abs(known) < 1e-12, 0.0, known)  # rounding must not break a tie
    probability = float("nan")
    if num >= LEAST_FOR_INTERVAL:
        probability = float((known > 0).mean() + (known == 0).mean() / 2)
    low, high = interval(known, num)
    return Difference(a, b, a - b, low, high, probability, p_of(a - b, known, num))
