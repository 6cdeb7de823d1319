"""Sweeps small enough for a test."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import optuna
from mlflow.entities import Run
from tiny import tiny

from fer_mlops.config import Experiment
from fer_mlops.config.conversion import fill
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.data.loading import Data
from fer_mlops.files import cache_folder
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.search_space import Parameter, Space
from fer_mlops.tuning.tune import Sweep, tune

SPACES = {
    "baseline": Space(
        family="baseline",
        parameters=(
            Parameter(key="hog_svm.c", low=0.5, high=50, log=True),
            Parameter(key="hog_svm.gamma", low=0.2, high=5, log=True),
        ),
    ),
    "cnn": Space(
        family="cnn",
        parameters=(
            Parameter(key="training.learning_rate", low=0.001, high=0.02, log=True),
            Parameter(key="cnn.hidden", choices=(0, 16)),
        ),
    ),
    "transfer": Space(
        family="transfer", parameters=(Parameter(key="transfer.dropout", low=0.0, high=0.4),)
    ),
    "ensemble": Space(
        family="ensemble",
        parameters=(Parameter(key="ensemble.penalty", low=10, high=1000, log=True),),
    ),
}


def plan_of(world: Path, faces: Path, family: str, trials: int, **changes: Any) -> Plan:
    """Returns a plan on ``faces``; settings of the experiment are keywords with ``__`` for the dot.

    Other keywords are fields of the plan or settings of the section ``tuning``.
    """
    settings = {key: changes.pop(key) for key in list(changes) if "__" in key}
    given: dict[str, Any] = {
        "experiment": tiny(family, faces, **settings),
        "space": SPACES[family],
        "study_name": "s",
        "storage_url": f"sqlite:///{world}/optuna.db",
    }
    given |= {key: changes.pop(key) for key in given if key in changes}
    default = TuningConfig(trials=trials, pruner="none", finalists=0)
    return Plan(**given, tuning=fill(default, changes, "tuning."))


def sweep(world: Path, faces: Path, family: str, trials: int, **changes: Any) -> Sweep:
    done = tune(plan_of(world, faces, family, trials, **changes), cache=cache_folder())
    assert done is not None
    return done


def untrained(_: Experiment, __: Data, tracker: Tracker, **___: object) -> Any:
    """Stands in for ``run_experiment`` where the winner is not what a test is about."""
    score = SimpleNamespace(macro_f1=SimpleNamespace(value=0.5))
    return SimpleNamespace(run_id=tracker.run_id, valid=score, test=None)


def study_in(world: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{world}/optuna.db")


def runs_named(prefix: str) -> list[Run]:
    """Returns the runs whose names begin so, in order of their names."""
    found = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    named = [run for run in found if (run.info.run_name or "").startswith(prefix)]
    return sorted(named, key=lambda run: str(run.info.run_name))
