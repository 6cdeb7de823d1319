"""One experiment on every fold in turn, so that each face is a test face once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_mlops.config import Experiment
from fer_mlops.evaluation import Report, evaluate
from fer_mlops.experiment import Trained, log_report, run_experiment
from fer_mlops.preparation import prepare_each
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.tracking import track

_SCORES = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True, kw_only=True)
class CrossValidation:
    """What training on every fold ends with."""

    run_id: str
    experiment_id: str
    folds: tuple[Trained, ...]
    pooled: Report
    """On all faces, each answered by the model that had not seen it."""
    spread: Mapping[str, tuple[float, float]]
    """Mean and standard deviation over folds of each score."""


def cross_validate(
    experiment: Experiment, cache: Path, begin: Begin = begin_silently
) -> CrossValidation:
    """Trains and tests one model per fold, as nested runs, and reports on all faces together.

    No fold's model is registered: what is judged is the recipe, not one of its models.

    Raises:
        DataError: The faces cannot be read or divided.
    """
    tracking = replace(experiment.tracking, register=False)
    folds, labels, probabilities, identities = [], [], [], []
    experiments = [
        replace(experiment, data=replace(experiment.data, fold=number), tracking=tracking)
        for number in range(experiment.data.folds)
    ]
    prepared = prepare_each(experiments, cache, begin)  # first, so that bad data stops at once
    with track(tracking.experiment, f"{experiment.family}-folds", system_metrics=False) as parent:
        parent.log_settings(experiment)
        parent.log_facts({"family": experiment.family, "split": f"{experiment.data.folds} folds"})
        for number, (fold, data) in enumerate(zip(experiments, prepared, strict=True)):
            name = f"{fold.family}-{data.table.name}-fold-{number}"
            with track(tracking.experiment, name, nested=True) as tracker:
                trained = run_experiment(fold, data, tracker, begin=begin)
            test = data.parts["test"]
            folds.append(trained)
            labels.append(test.labels)
            probabilities.append(trained.answers)
            identities.append(test.identities)
        pooled = evaluate(
            np.concatenate(labels), np.concatenate(probabilities), np.concatenate(identities)
        )
        spread = {score: _spread(folds, score) for score in _SCORES}
        log_report(pooled, "pooled", parent)
        for score, (mean, deviation) in spread.items():
            parent.log_metrics({f"folds/{score}_mean": mean, f"folds/{score}_sd": deviation})
    return CrossValidation(
        run_id=parent.run_id,
        experiment_id=parent.experiment_id,
        folds=tuple(folds),
        pooled=pooled,
        spread=spread,
    )


def _spread(folds: list[Trained], score: str) -> tuple[float, float]:
    values = [getattr(trained.test, score).value for trained in folds]
    return float(np.mean(values)), float(np.std(values, ddof=1))
