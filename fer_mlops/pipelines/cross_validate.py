"""Repeated training of one recipe, over folds or seeds: mean and spread of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from fer_mlops.config import Experiment
from fer_mlops.config.experiments import check_seeds
from fer_mlops.data.loading import prepare_each
from fer_mlops.evaluation.repeats import Kind, Repeat, Repeats
from fer_mlops.evaluation.report import SCORES, Report, evaluate
from fer_mlops.models.calibration import OPERATING_POINTS
from fer_mlops.pipelines.evaluation_logging import log_report
from fer_mlops.pipelines.train import Trained, run_experiment
from fer_mlops.progress import Progress, labelled, no_progress
from fer_mlops.reporting import plots
from fer_mlops.reporting.repeats_page import chart_of
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.tracking.runs import track, track_training
from fer_mlops.training.steps import OnRunStep, ignore_step

REPEATS_FILE = "repeats.json"
"""Artifact of a parent run with the scores of its children."""
REPEAT_TAG = "repeat"
"""Tag of a child run: its fold or seed."""


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """Result of training on every fold or with several seeds."""

    run_id: str
    experiment_id: str
    trained: tuple[Trained, ...]
    repeats: Repeats
    pooled: Report | None
    """Report on all faces, each predicted by the model that had not seen it; None for seeds."""

    def as_dict(self) -> dict[str, object]:
        """Returns the scores of the runs and their spread as plain values, for JSON."""
        pooled = self.pooled.as_dict() if self.pooled else None
        return {"run_id": self.run_id, **self.repeats.as_dict(), "pooled": pooled}

    def __repr__(self) -> str:
        scores, kind = self.repeats.spread("macro_f1"), self.repeats.kind
        return f"Repetition({self.repeats.family}, {scores.num} {kind}, test macro-F1 {scores})"


def cross_validate(
    experiment: Experiment,
    cache: Path,
    progress: Progress = no_progress,
    on_step: OnRunStep = ignore_step,
) -> Repetition:
    """Trains and tests one model per fold, as nested runs, and reports on all faces together.

    Raises:
        DataError: The faces cannot be read or divided.
    """
    num = experiment.data.folds
    folds = [replace(experiment, data=replace(experiment.data, fold=fold)) for fold in range(num)]
    names = [f"fold {fold}" for fold in range(num)]
    return _repeat("folds", folds, names, cache, progress, on_step)


def repeat_seeds(
    experiment: Experiment,
    num: int,
    cache: Path,
    progress: Progress = no_progress,
    on_step: OnRunStep = ignore_step,
) -> Repetition:
    """Trains and tests one model per seed, each on its own split, as nested runs.

    The experiment's seed is the first of ``num`` consecutive seeds.

    Raises:
        ConfigError: There are fewer than two seeds, or folds are set as well.
        DataError: The faces cannot be read or divided.
    """
    check_seeds(experiment, num)
    seeds = range(experiment.seed, experiment.seed + num)
    experiments = [replace(experiment, seed=seed) for seed in seeds]
    names = [f"seed {seed}" for seed in seeds]
    return _repeat("seeds", experiments, names, cache, progress, on_step)


def _repeat(
    kind: Kind,
    experiments: Sequence[Experiment],
    names: Sequence[str],
    cache: Path,
    progress: Progress,
    on_step: OnRunStep,
) -> Repetition:
    first = experiments[0]
    # no model is registered: the recipe is evaluated, not one model
    tracking = replace(first.tracking, register=False)
    unmeasured = replace(tracking, system_metrics=False)
    prepared = prepare_each(experiments, cache, progress)  # first, so that bad data stops at once
    data, divided = prepared[0].table.name, prepared[0].split.kind
    trained = []
    name = f"{first.family} · {data} · {len(names)} {kind}"
    with track(tracking.experiment, name, system_metrics=False) as parent:
        parent.log_settings(first)
        facts = {"data": data, "split": f"{len(names)} {kind}, {divided}", "repeats": kind}
        parent.log_facts({"family": first.family, **facts})
        for experiment, faces, repeat in zip(experiments, prepared, names, strict=True):
            name = f"{first.family} · {data} · {repeat}"
            with track_training(unmeasured, name, nested=True) as tracker:
                tracker.log_facts({REPEAT_TAG: repeat})
                quiet = replace(experiment, tracking=tracking)
                shown, report = labelled(progress, repeat), partial(on_step, repeat)
                trained.append(run_experiment(quiet, faces, tracker, progress=shown, on_step=report))
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
    reports = {"default": trained.test, **trained.operating_points}
    scores: dict[str, dict[str, float]] = {
        operating_point: {
            score: float(getattr(reports[operating_point], score).value) for score in SCORES
        }
        for operating_point in OPERATING_POINTS
    }
    return Repeat(name, trained.run_id, trained.test.num_faces, trained.minutes, scores)


def log_repeats(repeats: Repeats, tracker: RunLog) -> None:
    """Logs mean, spread and interval over the runs: metrics, JSON and a chart."""
    tracker.log_metrics(repeats.metrics())
    tracker.log_json(REPEATS_FILE, repeats.as_dict())
    figure = chart_of(repeats)
    tracker.log_figure("repeats.png", figure)
    tracker.log_picture("repeats", plots.to_image(figure), 0)


def _pooled(trained: Sequence[Trained]) -> Report:
    predictions = [result.predictions for result in trained]
    return evaluate(
        np.concatenate([fold.labels for fold in predictions]),
        np.concatenate([fold.probabilities() for fold in predictions]),
        np.concatenate([fold.identities for fold in predictions]),
    )
