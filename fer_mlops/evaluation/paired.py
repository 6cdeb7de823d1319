"""Two classifiers' answers about the same faces: which is better, by how much, how sure."""

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
    """How far A's score is above B's on the same faces; nan where there is no face."""

    a: float
    b: float
    value: float
    """a - b, -1 to 1."""
    low: float
    """Start of the 95 % interval of its paired bootstrap, clustered on people; nan, as are ``high`` and
    ``probability``, where it rests on fewer than 5 people."""
    high: float
    probability: float
    """That A is better: the share of resamples in which it is, ties half."""
    p: float
    """Two-sided, of there being no difference (Student's t); nan below 10 people."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    @property
    def interval(self) -> str:
        """The interval as one reads it."""
        return f"[{self.low:+.3f}, {self.high:+.3f}]" if np.isfinite(self.low) else "[–]"

    def __str__(self) -> str:
        return f"{self.value:+.3f} {self.interval}"


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's exact test of equal accuracy (Psychometrika 12, 1947).

    It takes faces as independent, which those of one person are not: with many faces of few people its
    p is too small, and the bootstrap over people is the one to believe.
    """

    only_a: int
    """Faces that A alone has right."""
    only_b: int
    p: float
    """Two-sided; 1 where the two are right about the same faces, nan below 10 people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPairing:
    """Wins and losses on the faces of one emotion."""

    emotion: str
    support: int
    both: int
    """Faces that both have right."""
    only_a: int
    only_b: int
    neither: int
    recall: Difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """Classifier A against classifier B on the same faces."""

    num_faces: int
    num_people: int
    units: Units
    """What the intervals are over."""
    point: OperatingPoint
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
    a: LabelledPredictions, b: LabelledPredictions, point: OperatingPoint = "default", seed: int = 0
) -> Pairing:
    """Returns how A does against B, with the same people drawn for both in each resample.

    Args:
        a: Answers of the one classifier.
        b: Of the other, about the same faces in the same order.
        point: Operating point of both.
        seed: Of the 2,000 resamples.

    Raises:
        DataError: The answers are about no faces, or not about the same ones.
    """
    if a.table.paths != b.table.paths or not np.array_equal(a.labels, b.labels):
        raise DataError("the two classifiers answered about different faces, or under different labels")
    if not len(a):
        raise DataError("the two classifiers answered about no face")
    labels = a.labels
    answers = [one.probabilities(point).argmax(1) for one in (a, b)]
    right_a, right_b = (predict_table == labels for predict_table in answers)
    drawn, units = resample_people(a.identities, seed=seed), Units.of(a.identities)
    counts = [confusion_counts(labels, predict_table).astype(np.float64) for predict_table in answers]
    resampled = [drawn.totals(confusion_cells(labels, predict_table)) for predict_table in answers]

    def differ(score: Callable[[Numbers], Scores]) -> Difference:
        own = [float(score(count)) for count in counts]
        return _difference(own[0], own[1], score(resampled[0]) - score(resampled[1]), units.num)

    exact = mcnemar(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum()))
    return Pairing(
        num_faces=len(labels),
        num_people=units.num_people,
        units=units,
        point=point,
        macro_f1=differ(macro_f1),
        balanced_accuracy=differ(balanced_accuracy),
        accuracy=differ(accuracy),
        mcnemar=exact if units.num >= LEAST_FOR_P else dataclasses.replace(exact, p=float("nan")),
        classes=_classes(labels, right_a, right_b, drawn),
    )


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """Returns McNemar's exact test, given how many faces each of the two alone has right."""
    num = only_a + only_b
    return McNemar(only_a, only_b, float(binomtest(only_a, num).pvalue) if num else 1.0)


def _classes(
    labels: Labels, right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], drawn: Resamples
) -> tuple[ClassPairing, ...]:
    of_class = np.eye(len(EMOTIONS))[labels]
    with np.errstate(invalid="ignore"):
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
    """Returns the difference of two scores.

    Args:
        a: The one.
        b: The other.
        gaps: Their difference in each resample, some nan where no face was drawn.
        num: People that it rests on.
    """
    known = gaps[np.isfinite(gaps)]
    known = np.where(np.abs(known) < 1e-12, 0.0, known)  # sums in another order are still a tie
    probability = float("nan")
    if num >= LEAST_FOR_INTERVAL:
        probability = float((known > 0).mean() + (known == 0).mean() / 2)
    low, high = interval(known, num)
    return Difference(a, b, a - b, low, high, probability, p_of(a - b, known, num))
