"""A sweep from start to end, on one screen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import optuna
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fer_mlops.config.recipes import Scalar
from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.errors import ConfigError, TrackingError
from fer_mlops.pipelines.train import Trained
from fer_mlops.progress import Progress, no_progress
from fer_mlops.tracking.connection import shown_uri
from fer_mlops.tracking.runs import track
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.finalists import Finalist
from fer_mlops.tuning.locks import StudyLocks
from fer_mlops.tuning.recovery import end_orphans
from fer_mlops.tuning.retrain import Winner, train_winner
from fer_mlops.tuning.study import SETTINGS, begin_at, open_study, standing_of
from fer_mlops.tuning.study_logging import OnTrial, StudyLogger, tell_beginning
from fer_mlops.tuning.workers import Worker, WorkerPool, storage_of

_PARENT = "parent_run"
_BEGINNING = "beginning"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep ends with."""

    study_name: str
    experiment_id: str
    run_id: str
    """Of the study's own run."""
    num_trials: int
    best_trial: int
    best_value: float
    finalists: tuple[Finalist, ...]
    """The winner first; none where the plan asks for none, and the best trial wins."""
    winner_settings: dict[str, Scalar]
    winner_run: str
    winner: Trained | None
    """None where another process trained it, or an earlier call of the same trial."""


def tune(
    plan: Plan, *, cache: Path, progress: Progress = no_progress, on_trial: OnTrial | None = None
) -> Sweep | None:
    """Searches settings on validation, retrains the winner, tests it once and registers it.

    One parent run per study, one nested run per trial; a trial that is pruned ends as KILLED. Called
    again with the same study name, also on other machines and at the same time, it takes part in the
    same study, to the same total of trials, under the same parent.

    Args:
        plan: What is searched, how and where.
        cache: Folder for decoded faces, frozen features and checkpoints.
        progress: Told of each stage.
        on_trial: Told of each trial that ended, in any process.

    Returns:
        None if its time was up while others go on with the study.

    Raises:
        ConfigError: The study exists for something else, or the storage is MLflow's.
        TrackingError: The storage or the tracking server does not answer.
        TrainingError: No trial was complete, or too many failed in a row.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # we tell of trials ourselves
    until = time.monotonic() + 60 * plan.minutes
    storage = storage_of(plan)
    data = prepare_data(plan.experiment, cache, progress)
    claims = StudyLocks(storage, plan.study_name)
    try:
        with closing(storage), claims.present():
            study = open_study(plan, storage, data.digest())
            with _parent_run(plan, study, claims, data) as parent:
                _search(plan, study, claims, data, parent, cache, progress, on_trial, until)
                standing = standing_of(study)
                if standing.num_finished < plan.total and claims.others():
                    return None
                winner = train_winner(plan, study, claims, data, parent, cache, progress)
                return _sweep(plan, study, parent, winner)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("the same command goes on with the study") from error


def _search(
    plan: Plan,
    study: optuna.Study,
    claims: StudyLocks,
    data: Data,
    parent: Tracker,
    cache: Path,
    progress: Progress,
    on_trial: OnTrial | None,
    until: float,
) -> None:
    """Runs trials, in this process or in workers of its own, until there are enough."""
    num_left = plan.total - standing_of(study).num_finished
    advance = progress("trials", max(num_left, 0))
    story = StudyLogger(plan, study, claims, parent, advance, on_trial)
    if num_left <= 0:
        return
    if plan.num_workers == 1:
        Worker(plan, study, claims, until).work(data, parent.run_id, cache, story.look)
    else:
        WorkerPool(plan, parent.run_id, cache, until).wait(story.look)


@contextmanager
def _parent_run(plan: Plan, study: optuna.Study, claims: StudyLocks, data: Data) -> Iterator[Tracker]:
    """Opens the study's run; it stays RUNNING when this process ends before others do."""
    try:
        with ExitStack() as stack:
            with claims.held(_BEGINNING):  # of processes that start at once one makes the run
                parent = stack.enter_context(_open_parent(plan, study))
                if _PARENT not in study.user_attrs:
                    study.set_user_attr(_PARENT, parent.run_id)
                    tell_beginning(plan, parent, data.table.name)
                    parent.log_data(data.table, data.split)
                begin_at(study, plan)
                end_orphans(study, parent, claims, plan.grace)
            try:
                yield parent
            except BaseException:
                claims.storage.hurry()
                with suppress(TrackingError):
                    end_orphans(study, parent, claims, plan.grace, is_leaving=True)
                raise
    finally:
        with suppress(TrackingError):
            _leave(study, claims)


def _leave(study: optuna.Study, claims: StudyLocks) -> None:
    """Lets the study's run be RUNNING where others go on."""
    if claims.others():
        MlflowClient().update_run(study.user_attrs[_PARENT], status="RUNNING")


def _open_parent(plan: Plan, study: optuna.Study) -> AbstractContextManager[Tracker]:
    parent_id = study.user_attrs.get(_PARENT)
    if parent_id:
        _require_run(parent_id, plan)
    return track(plan.experiment.tracking.experiment, f"tune-{plan.study_name}", resume=parent_id)


def _require_run(run_id: str, plan: Plan) -> None:
    try:
        MlflowClient().get_run(run_id)
    except MlflowException:
        raise ConfigError(
            f"study {plan.study_name!r} is shown in run {run_id}, which is not at {shown_uri()}; set "
            "MLFLOW_TRACKING_URI to where the study began, or choose another --study"
        ) from None


def _sweep(plan: Plan, study: optuna.Study, parent: Tracker, winner: Winner) -> Sweep:
    outcome = winner.outcome
    return Sweep(
        study_name=plan.study_name,
        experiment_id=parent.experiment_id,
        run_id=parent.run_id,
        num_trials=standing_of(study).num_finished,
        best_trial=outcome.best.number,
        best_value=float(outcome.best.value or 0.0),
        finalists=outcome.finalists,
        winner_settings=outcome.winner.user_attrs[SETTINGS],
        winner_run=winner.run_id,
        winner=winner.trained,
    )
