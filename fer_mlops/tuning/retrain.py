"""Winner training: one of the study's processes retrains, tests and registers the winner."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import TrainingError
from fer_mlops.evaluation.report import Estimate
from fer_mlops.pipelines.run_checkpoint import read_checkpoint
from fer_mlops.pipelines.train import Trained, run_experiment
from fer_mlops.progress import labelled
from fer_mlops.tracking.queries import get_run
from fer_mlops.tracking.registration import REGISTERED_TAG
from fer_mlops.tracking.run_end import end_run
from fer_mlops.tracking.runs import track_training
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training.checkpoints import checkpoint_path
from fer_mlops.tuning.finalists import FinalsResult, hold_finals
from fer_mlops.tuning.search_space import with_settings
from fer_mlops.tuning.study import SETTINGS, WINNER, WINNER_BEGUN, OpenStudy, end_orphans
from fer_mlops.tuning.study_logging import log_pictures, log_winner

_POLL = 1.0


@dataclass(frozen=True)
class Winner:
    """The trained winner of a study."""

    outcome: FinalsResult
    run_id: str
    trained: Trained | None
    """None if another or an earlier process trained it."""


def train_winner(opened: OpenStudy) -> Winner:
    """Trains the winner, or waits for the process that has the lock to train it; returns the winner.

    Raises:
        TrainingError: No trial was complete.
    """
    locks, is_announced = opened.locks, False
    while True:
        if locks.take(WINNER):
            try:
                return _train_under_lock(opened)
            finally:
                locks.drop(WINNER)
        if not is_announced:
            opened.progress(f"{locks.owner_of(WINNER) or 'another process'} trains the winner", 0)
            is_announced = True
        time.sleep(_POLL)


def _train_under_lock(opened: OpenStudy) -> Winner:
    study, parent = opened.study, opened.parent
    end_orphans(study, parent, opened.locks, opened.plan.grace)
    outcome = hold_finals(opened)
    chosen = outcome.winner
    log_pictures(opened, outcome)
    made = study.user_attrs.get(WINNER, {})
    if made.get("trial") == chosen.number:
        return Winner(outcome, made["run"], None)
    trained = None
    run_id = _finished(opened, chosen)
    if run_id is None:
        trained = _train(opened, chosen)
        run_id = trained.run_id
    log_winner(opened, outcome, run_id, _log_scores(run_id, parent))
    study.set_user_attr(WINNER, {"trial": chosen.number, "run": run_id})
    return Winner(outcome, run_id, trained)


def _train(opened: OpenStudy, chosen: FrozenTrial) -> Trained:
    """Trains, tests and registers the chosen settings in a full run; resumes after a kill."""
    plan, parent, cache = opened.plan, opened.parent, opened.cache
    experiment = with_settings(plan.experiment, chosen.user_attrs[SETTINGS])
    resume, state = _begun(opened, chosen)
    with track_training(
        experiment.tracking,
        f"winner-{experiment.family}-trial-{chosen.number:03d}",
        nested=True,
        parent=parent.run_id,
        resume=resume,
    ) as tracker:
        opened.study.set_user_attr(WINNER_BEGUN, {"trial": chosen.number, "run": tracker.run_id})
        tracker.log_facts({"trial": chosen.number, "winner_of": plan.study_name})
        return run_experiment(
            experiment,
            prepare_data(experiment, cache) if experiment != plan.experiment else opened.data,
            tracker,
            progress=labelled(opened.progress, "winner"),
            checkpoint=checkpoint_path(cache, tracker.run_id),
            resume_from=state,
        )


def _log_scores(run_id: str, parent: Tracker) -> str:
    """Logs the winner's scores to the study's run and returns its test score in words."""
    known = parent.ask(lambda: get_run(run_id).data.metrics)
    names = {"test": "test/macro_f1", "valid": "final_valid/macro_f1"}
    parent.log_metrics(
        {f"winner/{part}/macro_f1": known[name] for part, name in names.items() if name in known}
    )
    if names["test"] not in known:
        return "not tested"
    value, low, high = (known.get(names["test"] + end, math.nan) for end in ("", "_low", "_high"))
    return f"test macro-F1 {Estimate(value, low, high)}"


def _finished(opened: OpenStudy, chosen: FrozenTrial) -> str | None:
    """Returns the run in which an earlier process trained, tested and registered this winner, or None.

    Such a run is not trained or tested again; it is only marked as finished if necessary.
    """
    run_id = _run_begun(opened, chosen)
    if run_id is None:
        return None
    run = opened.parent.ask(lambda: get_run(run_id))
    if run.info.status != "FINISHED":
        if REGISTERED_TAG not in run.data.tags:  # its training, test or registration is not complete
            return None
        Tracker(run_id, run.info.experiment_id).finish()
    checkpoint_path(opened.cache, run_id).unlink(missing_ok=True)
    return run_id


def _run_begun(opened: OpenStudy, chosen: FrozenTrial) -> str | None:
    begun = opened.study.user_attrs.get(WINNER_BEGUN, {})
    return begun["run"] if begun.get("trial") == chosen.number else None


def _begun(opened: OpenStudy, chosen: FrozenTrial) -> tuple[str | None, dict[str, Any] | None]:
    """Returns the run and the checkpoint of a process that was killed while it trained this winner."""
    run_id = _run_begun(opened, chosen)
    if run_id is None:
        return None, None
    try:
        return run_id, read_checkpoint(checkpoint_path(opened.cache, run_id))
    except TrainingError:
        end_run(run_id, "FAILED")
        return None, None
