"""One recipe trained again and again, on every fold in turn or with several seeds: mean and spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import t as student

from fer_mlops import figures
from fer_mlops.calibration import Point
from fer_mlops.config import Experiment
from fer_mlops.errors import ConfigError
from fer_mlops.evaluation import Report, evaluate
from fer_mlops.experiment import Trained, run_experiment
from fer_mlops.preparation import prepare_each
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.reporting import log_report
from fer_mlops.tracker import Tracker
from fer_mlops.tracking import track

Kind = Literal["folds", "seeds"]
SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
POINTS: tuple[Point, ...] = get_args(Point)
REPEATS_FILE = "repeats.json"
"""What a parent run holds of its children's scores."""
REPEAT_TAG = "repeat"
"""Of a child: which fold or seed it is."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A score over several runs."""

    num: int
    mean: float
    deviation: float
    """Standard deviation over the runs (n - 1)."""
    low: float
    """Start of the 95 % interval of the mean, by Student's t."""
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.deviation:.3f} [{self.low:.3f}, {self.high:.3f}]"


def spread_of(values: Sequence[float]) -> Spread:
    """Returns mean, spread and interval of at least two runs' scores.

    The interval takes the runs as independent. Folds, and seeds that divide the same faces anew, share
    most of their training faces, so it is somewhat too narrow (Nadeau and Bengio, 2003).
    """
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    reach = float(student.ppf(0.975, len(values) - 1)) * deviation / len(values) ** 0.5
    return Spread(len(values), mean, deviation, mean - reach, mean + reach)


@dataclass(frozen=True, slots=True)
class Repeat:
    """One run of a recipe: its test scores at each operating point."""

    name: str
    """``fold 2`` or ``seed 7``."""
    run_id: str
    num_faces: int
    minutes: float
    scores: Mapping[str, Mapping[str, float]]
    """Point to score to value."""


@dataclass(frozen=True)
class Repeats:
    """All runs of one recipe."""

    kind: Kind
    family: str
    data: str
    """``sample, identity split``."""
    runs: tuple[Repeat, ...]

    def spread(self, score: str, point: Point = "default") -> Spread:
        """Returns mean, spread and interval of a score over the runs."""
        return spread_of([run.scores[point][score] for run in self.runs])

    def metrics(self) -> dict[str, float]:
        """Returns every number under the name it is tracked by, such as ``seeds/macro_f1_mean``."""
        flat = {}
        for point in POINTS:
            part = self.kind if point == "default" else f"{self.kind}_{point}"
            for score in SCORES:
                spread = self.spread(score, point)
                flat[f"{part}/{score}_mean"] = spread.mean
                flat[f"{part}/{score}_sd"] = spread.deviation
                flat[f"{part}/{score}_low"] = spread.low
                flat[f"{part}/{score}_high"] = spread.high
        return flat

    def as_dict(self) -> dict[str, object]:
        """Returns the runs' scores and their spread as plain values, for JSON."""
        points = {p: {s: asdict(self.spread(s, p)) for s in SCORES} for p in POINTS}
        return {**asdict(self), "spread": points}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Repeats:
        """Returns what ``as_dict`` was made of."""
        runs = tuple(Repeat(**run) for run in plain["runs"])
        return cls(plain["kind"], plain["family"], plain["data"], runs)


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """What training on every fold, or with several seeds, ends with."""

    run_id: str
    experiment_id: str
    trained: tuple[Trained, ...]
    repeats: Repeats
    pooled: Report | None
    """Of folds: on all faces, each answered by the model that had not seen it."""


def cross_validate(experiment: Experiment, cache: Path, begin: Begin = begin_silently) -> Repetition:
    """Trains and tests one model per fold, as nested runs, and reports on all faces together.

    Raises:
        DataError: The faces cannot be read or divided.
    """
    num = experiment.data.folds
    folds = [replace(experiment, data=replace(experiment.data, fold=fold)) for fold in range(num)]
    return _repeat("folds", folds, [f"fold {fold}" for fold in range(num)], cache, begin)


def repeat_seeds(
    experiment: Experiment, num: int, cache: Path, begin: Begin = begin_silently
) -> Repetition:
    """Trains and tests one model per seed, each on its own split, as nested runs.

    Args:
        experiment: Its seed is the first of ``num`` in a row.
        num: Seeds, 2 or more.
        cache: Folder for decoded faces.
        begin: Told of each stage.

    Raises:
        ConfigError: There are fewer than two seeds, or folds as well.
        DataError: The faces cannot be read or divided.
    """
    check_seeds(experiment, num)
    seeds = range(experiment.seed, experiment.seed + num)
    experiments = [replace(experiment, seed=seed) for seed in seeds]
    return _repeat("seeds", experiments, [f"seed {seed}" for seed in seeds], cache, begin)


def check_seeds(experiment: Experiment, num: int) -> None:
    """Returns if the experiment can be repeated with ``num`` seeds.

    Raises:
        ConfigError: It cannot.
    """
    if num < 2:
        raise ConfigError(f"--seeds must be 2 or more, for a spread, got {num}")
    if experiment.data.folds:
        raise ConfigError(
            f"--seeds {num} and --folds {experiment.data.folds} both repeat the training; give one"
        )


def _repeat(
    kind: Kind, experiments: Sequence[Experiment], names: Sequence[str], cache: Path, begin: Begin
) -> Repetition:
    """Trains each experiment; no model is registered, as the recipe is judged, not one of its models."""
    first = experiments[0]
    tracking = replace(first.tracking, register=False)
    prepared = prepare_each(experiments, cache, begin)  # first, so that bad data stops at once
    data, divided = prepared[0].table.name, prepared[0].split.kind
    trained = []
    with track(tracking.experiment, f"{first.family}-{kind}", system_metrics=False) as parent:
        parent.log_settings(first)
        facts = {"data": data, "split": f"{len(names)} {kind}, {divided}", "repeats": kind}
        parent.log_facts({"family": first.family, **facts})
        for experiment, faces, repeat in zip(experiments, prepared, names, strict=True):
            name = f"{first.family}-{data}-{repeat.replace(' ', '-')}"
            with track(tracking.experiment, name, nested=True) as tracker:
                tracker.log_facts({REPEAT_TAG: repeat})
                quiet = replace(experiment, tracking=tracking)
                trained.append(run_experiment(quiet, faces, tracker, begin=begin))
        runs = tuple(map(_scored, names, trained))
        repeats = Repeats(kind, first.family, f"{data}, {divided} split", runs)
        log_repeats(repeats, parent)
        pooled = _pooled(trained) if kind == "folds" else None
        if pooled:
            log_report(pooled, "pooled", parent)
    return Repetition(
        run_id=parent.run_id,
        experiment_id=parent.experiment_id,
        trained=tuple(trained),
        repeats=repeats,
        pooled=pooled,
    )


def _scored(name: str, trained: Trained) -> Repeat:
    assert trained.test
    reports = {"default": trained.test, **trained.points}
    scores: dict[str, dict[str, float]] = {
        point: {score: float(getattr(reports[point], score).value) for score in SCORES}
        for point in POINTS
    }
    return Repeat(name, trained.run_id, trained.test.num_faces, trained.minutes, scores)


def log_repeats(repeats: Repeats, tracker: Tracker) -> None:
    """Logs mean, spread and interval over the runs: metrics, JSON and a chart."""
    tracker.log_metrics(repeats.metrics())
    tracker.log_json(REPEATS_FILE, repeats.as_dict())
    figure = chart_of(repeats)
    tracker.log_figure("repeats.png", figure)
    tracker.log_picture("repeats", figures.to_image(figure), 0)


def chart_of(repeats: Repeats) -> Figure:
    """Returns each run's scores, with mean and interval, at each operating point."""
    values: dict[str, dict[str, list[float]]] = {}
    means: dict[str, dict[str, tuple[float, float, float]]] = {}
    for score in SCORES:
        values[score], means[score] = {}, {}
        for point in POINTS:
            spread = repeats.spread(score, point)
            values[score][point] = [run.scores[point][score] for run in repeats.runs]
            means[score][point] = spread.mean, spread.low, spread.high
    title = f"{repeats.family}, {len(repeats.runs)} {repeats.kind}, {repeats.data}: test scores"
    return figures.spread_chart(values, means, title)


def _pooled(trained: Sequence[Trained]) -> Report:
    answers = [one.answers for one in trained if one.answers]
    return evaluate(
        np.concatenate([one.labels for one in answers]),
        np.concatenate([one.probabilities() for one in answers]),
        np.concatenate([one.identities for one in answers]),
    )
