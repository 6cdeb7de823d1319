"""Clustered bootstrap: intervals and p-values from resampled people.

Resampling draws people, not faces, because the faces of one person are correlated. A face without a
known person is drawn as a person of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from fer_mlops.metrics.identities import count_people

Numbers = NDArray[np.float64]

NUM_RESAMPLES = 2000
LEAST_FOR_INTERVAL = 5  # smallest number of people for an interval
LEAST_FOR_P = 10  # smallest number of people for a p-value
_ROUGH = 30  # number of people below which intervals are rough


@dataclass(frozen=True, slots=True)
class Units:
    """Resampling units: the named people, and each face without a known person."""

    num_people: int
    """Number of named people."""
    num_unnamed: int
    """Number of faces without a known person."""

    @classmethod
    def of(cls, identities: NDArray[np.str_]) -> Units:
        """Returns the units of faces with these identities [n]."""
        return cls(*count_people(identities))

    @property
    def num(self) -> int:
        return self.num_people + self.num_unnamed

    @property
    def noun(self) -> str:
        """Name of the units in text, such as ``people``."""
        if not self.num_unnamed:
            return "people"
        return "people and unnamed faces" if self.num_people else "faces"

    @property
    def over(self) -> str:
        """Phrase for the units that intervals are over, such as ``over people``."""
        if not self.num_unnamed:
            return "over people"
        if not self.num_people:
            return "over faces, taken as independent: nobody is named"
        unnamed = (
            "1 face that names" if self.num_unnamed == 1 else f"{self.num_unnamed:,} faces that name"
        )
        return f"over people, and over {unnamed} nobody, taken as independent"

    @property
    def description(self) -> str:
        """Sentences on the units that intervals are over, and on their reliability."""
        if self.num < LEAST_FOR_INTERVAL:
            return self.caution
        return f"95% intervals {self.over}. {self.caution}".strip()

    @property
    def caution(self) -> str:
        """Sentence on the reliability of intervals; empty from 30 units on."""
        if self.num < LEAST_FOR_INTERVAL:
            return f"No intervals: they need at least {LEAST_FOR_INTERVAL} {self.noun}, here {self.num}."
        if self.num < _ROUGH:
            return f"With only {self.num} {self.noun} the intervals are rough and probably too narrow."
        return ""


@dataclass(frozen=True)
class Resamples:
    """Number of draws of each person in each resample (Davison and Hinkley, 1997, section 3.8)."""

    person: NDArray[np.int64]
    """Number of each face's person [n], from 0."""
    weights: Numbers
    """Times each person was drawn [resamples, people]; every row sums to the number of people."""

    def totals(self, values: Numbers) -> Numbers:
        """Returns the sum over drawn faces of ``values`` [n, ...] in each resample, [resamples, ...]."""
        flat = np.asarray(values, dtype=np.float64).reshape(len(self.person), -1)
        own = np.zeros((self.weights.shape[1], flat.shape[1]))
        np.add.at(own, self.person, flat)
        has_any = own.any(1)  # a slice shows few people, so most rows are zero
        return (self.weights[:, has_any] @ own[has_any]).reshape(-1, *np.shape(values)[1:])

    def means(self, values: Numbers) -> Numbers:
        """Returns the mean over drawn faces in each resample, [resamples, ...]."""
        totals = self.totals(values)
        num = self.totals(np.ones(len(self.person)))
        return totals / num.reshape(-1, *[1] * (totals.ndim - 1))

    def count(self, is_meant: NDArray[np.bool_]) -> int:
        """Returns the number of people among the faces that ``is_meant`` [n] marks."""
        return len(np.unique(self.person[is_meant]))


def resample_people(
    identities: NDArray[np.str_], *, seed: int = 0, num: int = NUM_RESAMPLES
) -> Resamples:
    """Returns resamples with replacement of the people in ``identities`` [n], each of as many people.

    Two models compared on the same faces need the same ``seed``.
    """
    people, person = np.unique(identities, return_inverse=True)
    generator = np.random.default_rng(seed)
    # counts instead of draws: weights are equal to drawing people one by one, and far smaller
    drawn = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), num)
    return Resamples(person.astype(np.int64), drawn.astype(np.float64))


def interval(scores: Numbers, num: int) -> tuple[float, float]:
    """Returns the 95% interval of a score from its resamples; nan if there is none.

    Args:
        scores: Score of each resample; nan where a resample has none.
        num: Number of people behind the score; no interval below 5.
    """
    known = scores[np.isfinite(scores)]
    if not len(known) or num < LEAST_FOR_INTERVAL:
        return np.nan, np.nan
    # expanded percentiles (Hesterberg, The American Statistician 69, 2015), widened by Student's t:
    # plain percentiles cover the true score too seldom when there are few people
    tail = 100 * float(norm.cdf(np.sqrt(num / (num - 1)) * t.ppf(0.025, num - 1)))
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def p_of(difference: float, resampled: Numbers, num: int, *, least_error: float = 0.0) -> float:
    """Returns the two-sided p-value of no difference, by Student's t; nan if there is none.

    Args:
        difference: Difference between two scores.
        resampled: Difference in each resample; nan where a resample has none.
        num: Number of people behind the difference; no p-value below 10.
        least_error: Lower limit of the standard error.
    """
    known = resampled[np.isfinite(resampled)]
    if not len(known) or num < LEAST_FOR_P or not np.isfinite(difference):
        return np.nan
    # rounding in means must not turn two equal models into a certain difference of 1e-17
    if abs(difference) < 1e-12:
        return 1.0
    # The standard error, not the share of resamples: so their number sets no lower limit on p, which can
    # be corrected for any number of tests. A bootstrap's variance is too small by (n - 1) / n.
    error = max(float(known.std()) * np.sqrt(num / (num - 1)), least_error)
    return float(2 * t.sf(abs(difference) / error, num - 1)) if error else 0.0


def choose_evenly(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Returns at most ``most`` rows in ascending order, spread as evenly over the labels as possible."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    turn = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        turn[own] = np.arange(len(own))
    # the first face of every label, then the second of every label, and so on
    first = shuffled[np.argsort(turn[shuffled], kind="stable")][:most]
    return np.sort(first)


def holm(p_values: Sequence[float] | Numbers, num_tests: int | None = None) -> Numbers:
    """Returns p-values corrected for the number of tests, [n]; nan stays and counts as no test.

    Holm, Scandinavian Journal of Statistics 6 (1979). If ``p_values`` are only some of ``num_tests``,
    the others count as if their p were larger, which never makes the result smaller.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = (len(order) if num_tests is None else num_tests) - np.arange(len(order))
    # a p-value is never smaller than that of a test before it in the order
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
