"""Sweep: searches settings, retrains the winner and registers it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import optuna

from fer_mlops.config.recipes import Scalar, recipe_text
from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.errors import ConfigError, ModelError, TrackingError
from fer_mlops.pipelines.train import Trained
from fer_mlops.pipelines.trained_run import Run
from fer_mlops.progress import Progress, no_progress
from fer_mlops.tracking.connection import shown_uri
from fer_mlops.tracking.queries import get_run
from fer_mlops.tracking.run_end import reopen_run
from fer_mlops.tracking.runs import track
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.finalists import Finalist
from fer_mlops.tuning.locks import StudyLocks
from fer_mlops.tuning.retrain import Winner, train_winner
from fer_mlops.tuning.search_space import with_settings
from fer_mlops.tuning.study import SETTINGS, OpenStudy, begin_at, end_orphans, open_study, standing_of
from fer_mlops.tuning.study_logging import OnTrial, StudyLogger, log_beginning
from fer_mlops.tuning.workers import Worker, WorkerPool, storage_of

_PARENT = "parent_run"
_BEGINNING = "beginning"


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Result of a sweep."""

    study_name: str
    experiment_id: str
    run_id: str
    """Id of the study's own run."""
    num_trials: int
    best_trial: int
    best_value: float
    finalists: tuple[Finalist, ...]
    """Finalists, winner first; empty if the plan has none and the best trial wins."""
    winner_settings: dict[str, Scalar]
    winner_recipe: str
    """YAML of the winner's settings; ``recipe`` of ``train`` and ``--recipe`` take it as a file."""
    winner_run: str
    winner: Trained | None
    """None if another process or an earlier call trained it."""

    def as_dict(self) -> dict[str, object]:
        """Returns the study, its finalists and its winner as plain values, for JSON."""
        return {
            "study": self.study_name,
            "run_id": self.run_id,
            "num_trials": self.num_trials,
            "best_trial": self.best_trial,
            "best_value": self.best_value,
            "finalists": [finalist.as_dict() for finalist in self.finalists],
            "winner_settings": self.winner_settings,
            "winner_run": self.winner_run,
            "winner": self.winner.as_dict() if self.winner else None,
        }

    @property
    def run(self) -> Run | None:
        """The winner's run; None if another process or an earlier call trained it."""
        return Run(self.winner) if self.winner else None

    def __repr__(self) -> str:
        return f"Sweep({self.study_name}, {self.num_trials} trials, best {self.best_value:.4f})"


def tune(
    plan: Plan, *, cache: Path, progress: Progress = no_progress, on_trial: OnTrial | None = None
) -> Sweep | None:
    """Searches settings on validation, retrains the winner, tests it once and registers it.

    A study has one parent run, with a nested run for each trial; a pruned trial ends as KILLED. A call
    with the name of an existing study joins it, also from other machines and at the same time.

    ``on_trial`` is called for each trial that ended, in any process.

    Returns:
        Result of the sweep; None if time ran out while other processes continue the study.

    Raises:
        ConfigError: The study exists with other settings, or the storage is MLflow's database.
        TrackingError: The storage or the tracking server does not respond.
        TrainingError: No trial was complete, or too many failed in a row.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # we print trials ourselves
    until = time.monotonic() + 60 * plan.tuning.timeout
    storage = storage_of(plan)
    data = prepare_data(plan.experiment, cache, progress)
    locks = StudyLocks(storage, plan.study_name)
    try:
        with closing(storage), locks.present():
            study = open_study(plan, storage, data.digest())
            with _parent_run(plan, study, locks, data) as parent:
                opened = OpenStudy(
                    plan=plan,
                    study=study,
                    locks=locks,
                    data=data,
                    parent=parent,
                    cache=cache,
                    progress=progress,
                )
                _search(opened, on_trial, until)
                # the others go on, and the last of them trains the winner
                if standing_of(study).num_finished < plan.total and locks.others():
                    return None
                return _sweep(opened, train_winner(opened))
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("run the same command again to continue the study") from error


def _search(opened: OpenStudy, on_trial: OnTrial | None, until: float) -> None:
    """Runs trials, in this process or in a worker pool, until the study is complete."""
    plan, run_id, cache = opened.plan, opened.parent.run_id, opened.cache
    num_left = plan.total - standing_of(opened.study).num_finished
    logger = StudyLogger(opened, opened.progress("trials", max(num_left, 0)), on_trial)
    if num_left <= 0:
        return
    if plan.tuning.workers == 1:
        worker = Worker(plan, opened.study, opened.locks, until)
        worker.work(opened.data, run_id, cache, logger.update)
    else:
        WorkerPool(plan, run_id, cache, until).wait(logger.update)


@contextmanager
def _parent_run(plan: Plan, study: optuna.Study, locks: StudyLocks, data: Data) -> Iterator[Tracker]:
    """Opens the study's run; it stays RUNNING if this process ends before others do."""
    try:
        with ExitStack() as stack:
            with locks.held(_BEGINNING):  # only one of several processes creates the run
                parent = stack.enter_context(_open_parent(plan, study))
                if _PARENT not in study.user_attrs:
                    study.set_user_attr(_PARENT, parent.run_id)
                    log_beginning(plan, parent, data.table.name)
                    parent.log_data(data.table, data.split)
                begin_at(study, plan)
                end_orphans(study, parent, locks, plan.grace)
            try:
                yield parent
            except BaseException:
                locks.storage.hurry()  # a storage that is away must not delay the exit
                with suppress(TrackingError):
                    end_orphans(study, parent, locks, plan.grace, is_leaving=True)
                raise
    finally:
        with suppress(TrackingError):
            if locks.others():  # this process has just ended the run, and theirs go on below it
                reopen_run(study.user_attrs[_PARENT])


def _open_parent(plan: Plan, study: optuna.Study) -> AbstractContextManager[Tracker]:
    run_id = study.user_attrs.get(_PARENT)
    try:
        if run_id:
            get_run(run_id)
    except ModelError:
        raise ConfigError(
            f"study {plan.study_name!r} belongs to run {run_id}, which does not exist at {shown_uri()}; "
            "set MLFLOW_TRACKING_URI to where the study began, or choose another --study"
        ) from None
    return track(plan.experiment.tracking.experiment, f"tune-{plan.study_name}", resume=run_id)


def _sweep(opened: OpenStudy, winner: Winner) -> Sweep:
    plan, outcome = opened.plan, winner.outcome
    settings = outcome.winner.user_attrs[SETTINGS]
    return Sweep(
        study_name=plan.study_name,
        experiment_id=opened.parent.experiment_id,
        run_id=opened.parent.run_id,
        num_trials=standing_of(opened.study).num_finished,
        best_trial=outcome.best.number,
        best_value=float(outcome.best.value or 0.0),
        finalists=outcome.finalists,
        winner_settings=settings,
        winner_recipe=recipe_text(with_settings(plan.experiment, settings)),
        winner_run=winner.run_id,
        winner=winner.trained,
    )
