"""Scores of one recipe over several folds or seeds: mean and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import t as student

from fer_mlops.evaluation.report import SCORES
from fer_mlops.models.calibration import OPERATING_POINTS, OperatingPoint

Kind = Literal["folds", "seeds"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and spread of a score over several runs."""

    num: int
    mean: float
    deviation: float
    """Standard deviation over the runs (n - 1)."""
    low: float
    """Lower end of the 95% interval of the mean, by Student's t."""
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.deviation:.3f} [{self.low:.3f}, {self.high:.3f}]"


def spread_of(values: Sequence[float]) -> Spread:
    """Returns mean, standard deviation and interval of the scores of at least two runs.

    The interval assumes independent runs. Folds, and seeds that split the same faces again, share most
    of their training faces, so the interval is somewhat too narrow (Nadeau and Bengio, 2003).
    """
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    reach = float(student.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return Spread(len(values), mean, deviation, mean - reach, mean + reach)


@dataclass(frozen=True, slots=True)
class Repeat:
    """One run of a recipe: its test scores at each operating point."""

    name: str
    """Name of the run, such as ``fold 2`` or ``seed 7``."""
    run_id: str
    num_faces: int
    minutes: float
    scores: Mapping[str, Mapping[str, float]]
    """Value by operating point and score."""


@dataclass(frozen=True)
class Repeats:
    """All runs of one recipe."""

    kind: Kind
    family: str
    data: str
    """Data and split, such as ``sample, identity split``."""
    runs: tuple[Repeat, ...]

    def spread(self, score: str, operating_point: OperatingPoint = "default") -> Spread:
        """Returns mean, spread and interval of a score over the runs."""
        return spread_of([run.scores[operating_point][score] for run in self.runs])

    def metrics(self) -> dict[str, float]:
        """Returns the numbers that a run logs as metrics, such as ``seeds/macro_f1_mean``."""
        flat = {}
        for operating_point in OPERATING_POINTS:
            part = self.kind if operating_point == "default" else f"{self.kind}_{operating_point}"
            for score in SCORES:
                spread = self.spread(score, operating_point)
                flat[f"{part}/{score}_mean"] = spread.mean
                if operating_point == "default":
                    flat[f"{part}/{score}_sd"] = spread.deviation
                    flat[f"{part}/{score}_low"] = spread.low
                    flat[f"{part}/{score}_high"] = spread.high
        return flat

    def as_dict(self) -> dict[str, object]:
        """Returns the runs' scores and their spread as plain values, for JSON."""
        points = {p: {s: asdict(self.spread(s, p)) for s in SCORES} for p in OPERATING_POINTS}
        return {**asdict(self), "spread": points}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Repeats:
        """Returns the repeats from the plain values of ``as_dict``."""
        runs = tuple(Repeat(**run) for run in plain["runs"])
        return cls(plain["kind"], plain["family"], plain["data"], runs)
