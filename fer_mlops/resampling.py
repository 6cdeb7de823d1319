"""The clustered bootstrap: people are drawn again, not faces, as one person's faces are much alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

NUM_RESAMPLES = 2000


@dataclass(frozen=True)
class Resamples:
    """How often each person was drawn in each resample (Davison and Hinkley, 1997, section 3.8)."""

    person: NDArray[np.int64]
    """Whose face each is [n], numbered from 0."""
    weights: Numbers
    """Times each person was drawn [resamples, people]; every row sums to the number of people."""

    def totals(self, values: Numbers) -> Numbers:
        """Returns the sum over drawn faces in each resample, [resamples, ...].

        Args:
            values: Of each face [n, ...]; ones give the number of faces.
        """
        flat = np.asarray(values, dtype=np.float64).reshape(len(self.person), -1)
        own = np.zeros((self.weights.shape[1], flat.shape[1]))
        np.add.at(own, self.person, flat)
        return (self.weights @ own).reshape(-1, *np.shape(values)[1:])

    def means(self, values: Numbers) -> Numbers:
        """Returns the mean over drawn faces in each resample, [resamples, ...]."""
        totals = self.totals(values)
        num = self.totals(np.ones(len(self.person)))
        return totals / num.reshape(-1, *[1] * (totals.ndim - 1))

    def face_weights(self) -> Numbers:
        """Returns how often each face was drawn, [resamples, n]."""
        return self.weights[:, self.person]


def resample_people(
    identities: NDArray[np.str_], *, seed: int = 0, num: int = NUM_RESAMPLES
) -> Resamples:
    """Returns draws of as many people as there are, with replacement.

    Args:
        identities: Whose face each is, [n].
        seed: Of the draws; the same for two models compared on the same faces.
        num: Resamples.
    """
    people, person = np.unique(identities, return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), num)
    return Resamples(person.astype(np.int64), drawn.astype(np.float64))


def interval(scores: Numbers) -> tuple[float, float]:
    """Returns the 2.5 % and 97.5 % points of a score's resamples; nan where none is a number."""
    known = scores[np.isfinite(scores)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def choose_evenly(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Returns at most ``most`` rows in ascending order, as evenly over the labels as there are faces."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    turn = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        turn[own] = np.arange(len(own))
    first = shuffled[np.argsort(turn[shuffled], kind="stable")][:most]
    return np.sort(first)


def bootstrap_p(resampled: Numbers) -> float:
    """Returns the two-sided p-value of no difference: twice the rarer sign's share of the resamples.

    Counted with one more on each side, as a share of none would claim too much (Davison and Hinkley
    1997, section 4.2.5).
    """
    known = resampled[np.isfinite(resampled)]
    rarer = min((known <= 0).sum(), (known >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(known) + 1)))


def holm(p_values: Sequence[float] | Numbers) -> Numbers:
    """Returns p-values corrected for their number, [n]; nan stays and counts for none.

    Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p_values[order] * factors))
    return adjusted
