"""An Optuna study over run_experiment; the search spaces are stated here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlflow
import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, Trial, TrialState

from fer_mlops import figures
from fer_mlops.config import Experiment
from fer_mlops.errors import ConfigError, TrackingError, TrainingError
from fer_mlops.experiment import Trained, run_experiment
from fer_mlops.learning import Step
from fer_mlops.preparation import Data, prepare_data
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.recipes import Scalar, build_experiment, flatten
from fer_mlops.tracking import RunStopped, Tracker, track

Suggest = Callable[[Trial], dict[str, Scalar]]
OBJECTIVE = "valid/macro_f1"
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_HEARTBEAT, _GRACE = 20, 60
"""Seconds between a worker's signs of life, and without one after which its trial is retried."""


def _suggest_baseline(trial: Trial) -> dict[str, Scalar]:
    return {
        "hog_svm.cells": trial.suggest_categorical("hog_svm.cells", ["8", "12", "8,16", "8,12,16"]),
        "hog_svm.components": trial.suggest_int("hog_svm.components", 50, 400, log=True),
        "hog_svm.c": trial.suggest_float("hog_svm.c", 0.5, 50, log=True),
        "hog_svm.gamma": trial.suggest_float("hog_svm.gamma", 0.2, 5, log=True),
    }


def _suggest_training(trial: Trial, slowest: float, fastest: float) -> dict[str, Scalar]:
    return {
        "training.learning_rate": trial.suggest_float(
            "training.learning_rate", slowest, fastest, log=True
        ),
        "training.weight_decay": trial.suggest_float("training.weight_decay", 1e-4, 0.3, log=True),
        "training.label_smoothing": trial.suggest_float("training.label_smoothing", 0.0, 0.2),
        "training.loss": trial.suggest_categorical(
            "training.loss", ["logit_adjusted", "class_weighted", "cross_entropy", "focal"]
        ),
        "augment.zoom": trial.suggest_float("augment.zoom", 0.0, 0.25),
        "augment.erase": trial.suggest_float("augment.erase", 0.0, 0.5),
    }


def _suggest_cnn(trial: Trial) -> dict[str, Scalar]:
    return {
        **_suggest_training(trial, 5e-4, 1e-2),
        "cnn.dropout": trial.suggest_float("cnn.dropout", 0.0, 0.5),
        "cnn.hidden": trial.suggest_categorical("cnn.hidden", [64, 128, 256]),
    }


def _suggest_transfer(trial: Trial) -> dict[str, Scalar]:
    return {
        **_suggest_training(trial, 1e-4, 3e-3),
        "transfer.dropout": trial.suggest_float("transfer.dropout", 0.0, 0.5),
    }


SPACES: dict[str, Suggest] = {
    "baseline": _suggest_baseline,
    "cnn": _suggest_cnn,
    "transfer": _suggest_transfer,
}


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A finished study."""

    study_name: str
    num_trials: int
    best_value: float
    best_settings: dict[str, Scalar]
    winner: Trained


def tune(
    experiment: Experiment,
    *,
    num_trials: int,
    study_name: str,
    storage_url: str,
    cache: Path,
    begin: Begin = begin_silently,
) -> Sweep:
    """Searches settings on validation, retrains the winner, tests it once and registers it.

    One parent run per study, one nested run per trial; a trial that is pruned ends as KILLED. Called
    again with the same study name, it goes on to the same total of trials, under the same parent.

    Args:
        experiment: What every trial starts from.
        num_trials: Total of the study, pruned trials counted.
        study_name: Key of the study in the storage.
        storage_url: An SQLAlchemy URL; never MLflow's own database.
        cache: Folder for decoded faces.
        begin: Told of each stage.

    Raises:
        ConfigError: The study exists for another family or other data, or the storage is MLflow's.
        TrackingError: The storage cannot be opened.
        TrainingError: No trial was finished.
    """
    if storage_url == mlflow.get_tracking_uri():
        raise ConfigError(
            "the study needs a database of its own, not MLflow's; choose another --storage"
        )
    data = prepare_data(experiment, cache, begin)
    study = _open_study(storage_url, study_name, experiment)
    _bind(study, {"family": experiment.family, "data_digest": data.digest()})
    parent_id = study.user_attrs.get("parent_run")
    with track(experiment.tracking.experiment, f"tune-{study_name}", resume=parent_id) as parent:
        study.set_user_attr("parent_run", parent.run_id)
        parent.log_facts({"family": experiment.family, "study": study_name, "data": data.table.name})
        num_done = len(study.get_trials(deepcopy=False, states=_FINISHED))
        advance = begin("trials", num_trials - num_done)
        objective = _Objective(experiment, data, parent, advance)
        if num_done < num_trials:
            study.optimize(objective, callbacks=[MaxTrialsCallback(num_trials, states=_FINISHED)])
        best = _best(study)
        _log_study(study, parent)
        winner = _retrain(experiment, best, data, begin)
        if winner.test:
            parent.log_metrics({"winner/test/macro_f1": winner.test.macro_f1.value})
        parent.log_facts({"winner_run": winner.run_id})
    return Sweep(
        study_name=study_name,
        num_trials=len(study.get_trials(deepcopy=False, states=_FINISHED)),
        best_value=float(best.value or 0.0),
        best_settings=best.user_attrs["settings"],
        winner=winner,
    )


class _Objective:
    """One trial as a nested run."""

    def __init__(
        self, experiment: Experiment, data: Data, parent: Tracker, advance: Callable[[int], None]
    ) -> None:
        self.experiment, self.data, self.parent, self.advance = experiment, data, parent, advance

    def __call__(self, trial: Trial) -> float:
        settings = SPACES[self.experiment.family](trial)
        trial.set_user_attr("settings", settings)
        tuned = with_settings(self.experiment, {**settings, "tracking.images_every": 0})
        scores: list[float] = []

        def report(step: Step) -> None:
            scores.append(step.metrics[OBJECTIVE])
            trial.report(scores[-1], step.number)
            if trial.should_prune():
                raise RunStopped(f"pruned at step {step.number}: below the median of earlier trials")

        # A trial retried after its worker died reopens the dead worker's run.
        dead_run = trial.user_attrs.get("run")
        try:
            with track(
                self.experiment.tracking.experiment,
                f"trial-{trial.number}",
                nested=True,
                resume=dead_run,
            ) as tracker:
                trial.set_user_attr("run", tracker.run_id)
                tracker.log_facts({"trial": trial.number})
                try:
                    run_experiment(tuned, self.data, tracker, on_step=report, uses_test=False)
                except RunStopped as reason:
                    tracker.log_facts({"pruned": str(reason)})
                    raise
        except RunStopped as reason:
            raise optuna.TrialPruned(str(reason)) from reason
        finally:
            self.advance(1)
        best = max(scores)
        self.parent.log_metrics({"trial/" + OBJECTIVE: best}, step=trial.number)
        return best


def with_settings(experiment: Experiment, settings: dict[str, Scalar]) -> Experiment:
    """Returns the experiment with dotted settings replaced."""
    return build_experiment(experiment.family, settings={**flatten(experiment), **settings})


def _open_study(url: str, name: str, experiment: Experiment) -> optuna.Study:
    try:
        storage = RDBStorage(
            url,
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=2),
        )
        return optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            sampler=TPESampler(seed=experiment.seed),
            pruner=MedianPruner(n_startup_trials=4, n_warmup_steps=3),
        )
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(f"the study storage cannot be opened: {reason}") from error


def _bind(study: optuna.Study, facts: dict[str, str]) -> None:
    """Ties a new study to its family and data; refuses an old one that has others."""
    for key, value in facts.items():
        stored = study.user_attrs.get(key)
        if stored is None:
            study.set_user_attr(key, value)
        elif stored != value:
            raise ConfigError(
                f"study {study.study_name!r} exists with {key} {stored!r}, now it is {value!r}; choose "
                "another --study"
            )


def _best(study: optuna.Study) -> FrozenTrial:
    try:
        return study.best_trial
    except ValueError:
        raise TrainingError(
            f"no trial of study {study.study_name!r} was finished; see its runs for the reasons"
        ) from None


def _log_study(study: optuna.Study, parent: Tracker) -> None:
    """Logs the study's history, importances and best settings to its parent run."""
    best = _best(study)
    parent.log_metrics({"best/" + OBJECTIVE: float(best.value or 0.0)})
    parent.log_json("best_settings.json", best.user_attrs["settings"])
    trials = study.get_trials(deepcopy=False, states=_FINISHED)
    points = [(t.number, t.value, t.state == TrialState.COMPLETE) for t in trials if t.value is not None]
    parent.log_figure("study/history.png", figures.study_history(points, OBJECTIVE, study.study_name))
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) >= 2 and len({trial.value for trial in complete}) > 1:
        importances = optuna.importance.get_param_importances(study)
        parent.log_figure("study/importances.png", figures.importances(importances))


def _retrain(experiment: Experiment, best: FrozenTrial, data: Data, begin: Begin) -> Trained:
    """Trains the best settings again, with pictures, the test and registration."""
    tuned = with_settings(experiment, best.user_attrs["settings"])
    with track(
        experiment.tracking.experiment,
        f"winner-{experiment.family}-{time.strftime('%H%M%S')}",
        nested=True,
        system_metrics=experiment.tracking.system_metrics,
    ) as tracker:
        tracker.log_facts({"trial": best.number})
        return run_experiment(tuned, data, tracker, begin=begin)
