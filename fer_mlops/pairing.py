"""Two classifiers' answers about the same faces: which is better, by how much, how sure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fer_mlops.answers import Answers
from fer_mlops.calibration import Point
from fer_mlops.datasets.table import Labels
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.evaluation import plain
from fer_mlops.metrics import (
    Scores,
    accuracy,
    balanced_accuracy,
    confusion_cells,
    confusion_counts,
    macro_f1,
)
from fer_mlops.resampling import Numbers, Resamples, bootstrap_p, interval, resample_people


@dataclass(frozen=True, slots=True)
class Difference:
    """How far A's score is above B's on the same faces; nan where there is no face."""

    a: float
    b: float
    value: float
    """a - b, -1 to 1."""
    low: float
    """Start of the 95 % interval of its paired bootstrap, clustered on people."""
    high: float
    probability: float
    """That A is better: the share of resamples in which it is, ties half."""
    p: float
    """Two-sided, of there being no difference (Davison and Hinkley, 1997, section 4.4)."""

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


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
    """Two-sided; 1 where the two are right about the same faces."""


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
    point: Point
    macro_f1: Difference
    balanced_accuracy: Difference
    accuracy: Difference
    mcnemar: McNemar
    classes: tuple[ClassPairing, ...]
    """In the order of EMOTIONS."""

    def as_dict(self) -> dict[str, object]:
        """Returns the pairing as plain values, for JSON; a number that does not exist is None."""
        return {str(key): plain(value) for key, value in dataclasses.asdict(self).items()}


def pair(a: Answers, b: Answers, point: Point = "default", seed: int = 0) -> Pairing:
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
    right_a, right_b = (answer == labels for answer in answers)
    drawn = resample_people(a.identities, seed=seed)
    counts = [confusion_counts(labels, answer).astype(np.float64) for answer in answers]
    resampled = [drawn.totals(confusion_cells(labels, answer)) for answer in answers]

    def differ(score: Callable[[Numbers], Scores]) -> Difference:
        own = [float(score(count)) for count in counts]
        return _difference(own[0], own[1], score(resampled[0]) - score(resampled[1]))

    return Pairing(
        num_faces=len(labels),
        num_people=len(np.unique(a.identities)),
        point=point,
        macro_f1=differ(macro_f1),
        balanced_accuracy=differ(balanced_accuracy),
        accuracy=differ(accuracy),
        mcnemar=mcnemar(int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())),
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
                recall=_difference(float(own[0][label]), float(own[1][label]), gaps[:, label]),
            )
        )
    return tuple(rows)


def _difference(a: float, b: float, gaps: Numbers) -> Difference:
    """Returns the difference, given its resamples [resamples], some nan where no face was drawn."""
    known = gaps[np.isfinite(gaps)]
    known = np.where(np.abs(known) < 1e-12, 0.0, known)  # sums in another order are still a tie
    if not len(known):
        return Difference(a, b, a - b, *interval(known), float("nan"), float("nan"))
    above, below = int((known > 0).sum()), int((known < 0).sum())
    ties = len(known) - above - below
    return Difference(
        a=a,
        b=b,
        value=a - b,
        low=interval(known)[0],
        high=interval(known)[1],
        probability=(above + ties / 2) / len(known),
        p=bootstrap_p(known),
    )
