"""The winner's settings, trained again by one of the study's processes, tested once, registered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from fer_mlops.checkpoints import checkpoint_path, load_checkpoint
from fer_mlops.ending import end_run
from fer_mlops.errors import TrainingError
from fer_mlops.experiment import Trained, run_experiment
from fer_mlops.preparation import Data, prepare_data
from fer_mlops.progress import Begin
from fer_mlops.tracker import Tracker
from fer_mlops.tracking import track
from fer_mlops.tuning.claims import Claims
from fer_mlops.tuning.finals import Outcome, hold_finals
from fer_mlops.tuning.orphans import end_orphans
from fer_mlops.tuning.plan import Plan
from fer_mlops.tuning.spaces import with_settings
from fer_mlops.tuning.story import tell_pictures, tell_winner
from fer_mlops.tuning.study import SETTINGS, WINNER, WINNER_BEGUN

_POLL = 1.0


@dataclass(frozen=True)
class Winner:
    """Who was trained, and of which trial."""

    outcome: Outcome
    run_id: str
    trained: Trained | None
    """None where another process, or an earlier one, did it."""


def train_winner(
    plan: Plan,
    study: optuna.Study,
    claims: Claims,
    data: Data,
    parent: Tracker,
    cache: Path,
    begin: Begin,
) -> Winner:
    """Returns the winner, once it was trained: by this process, or by the one that claimed it first.

    Raises:
        TrainingError: No trial was complete.
    """
    told = False
    while True:
        if claims.take(WINNER):
            try:
                end_orphans(study, parent, claims, plan.grace)
                outcome = hold_finals(plan, study, data, parent, claims.owner, cache, begin)
                chosen = outcome.winner
                tell_pictures(plan, study, parent, outcome)
                made = study.user_attrs.get(WINNER, {})
                if made.get("trial") == chosen.number:
                    return Winner(outcome, made["run"], None)
                trained = _train(plan, study, chosen, data, parent, cache, begin)
                study.set_user_attr(WINNER, {"trial": chosen.number, "run": trained.run_id})
                test = f"test macro-F1 {trained.test.macro_f1}"
                tell_winner(plan, parent, outcome, trained.run_id, test)
                return Winner(outcome, trained.run_id, trained)
            finally:
                claims.drop(WINNER)
        if not told:
            begin(f"{claims.owner_of(WINNER) or 'another process'} trains the winner", 0)
            told = True
        time.sleep(_POLL)


def _train(
    plan: Plan,
    study: optuna.Study,
    chosen: FrozenTrial,
    data: Data,
    parent: Tracker,
    cache: Path,
    begin: Begin,
) -> Trained:
    """Trains the chosen settings, with pictures, the test and registration; goes on after a kill."""
    experiment = with_settings(plan.experiment, chosen.user_attrs[SETTINGS])
    resume, state = _begun(study, chosen, cache)
    with track(
        experiment.tracking.experiment,
        f"winner-{experiment.family}-trial-{chosen.number:03d}",
        nested=True,
        parent=parent.run_id,
        resume=resume,
        system_metrics=experiment.tracking.system_metrics,
    ) as tracker:
        study.set_user_attr(WINNER_BEGUN, {"trial": chosen.number, "run": tracker.run_id})
        tracker.log_facts({"trial": chosen.number, "winner_of": plan.study_name})
        trained = run_experiment(
            experiment,
            prepare_data(experiment, cache) if experiment != plan.experiment else data,
            tracker,
            begin=begin,
            checkpoint=checkpoint_path(cache, tracker.run_id),
            resume_from=state,
        )
    parent.log_metrics({"winner/test/macro_f1": trained.test.macro_f1.value})
    parent.log_metrics({"winner/valid/macro_f1": trained.valid.macro_f1.value})
    return trained


def _begun(
    study: optuna.Study, chosen: FrozenTrial, cache: Path
) -> tuple[str | None, dict[str, Any] | None]:
    """Returns the run and the checkpoint of a process that was killed while it trained this winner."""
    begun = study.user_attrs.get(WINNER_BEGUN, {})
    if begun.get("trial") != chosen.number:
        return None, None
    try:
        return begun["run"], load_checkpoint(checkpoint_path(cache, begun["run"]))
    except TrainingError:
        end_run(begun["run"], "FAILED")
        return None, None
