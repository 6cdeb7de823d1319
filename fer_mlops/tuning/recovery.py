"""Recovery: ends runs that a killed worker left open."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import optuna
from optuna.trial import TrialState

from fer_mlops.tracking.run_end import end_open_runs_below
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.locks import StudyLocks, is_gone
from fer_mlops.tuning.study import RUN, RUNS, WINNER, WINNER_BEGUN

if TYPE_CHECKING:
    from mlflow.entities import Run

_LIVE = (TrialState.RUNNING, TrialState.WAITING)


def end_orphans(
    study: optuna.Study, parent: Tracker, locks: StudyLocks, grace: float, *, is_leaving: bool = False
) -> int:
    """Ends the open runs below ``parent`` that no worker owns; returns their number.

    Args:
        study: Study whose trials are read.
        parent: The study's run.
        locks: Locks of this process.
        grace: Seconds; a younger run may belong to a trial that has not recorded it yet.
        is_leaving: Whether this process no longer works on any run.
    """
    wanted = set()
    for trial in study.get_trials(deepcopy=False, states=_LIVE):
        wanted |= {trial.user_attrs.get(RUN), *trial.user_attrs.get(RUNS, {}).values()}

    trainer = locks.owner_of(WINNER)  # trains the finalists and the winner
    if trainer not in (None, locks.owner):
        wanted.add(study.user_attrs.get(WINNER_BEGUN, {}).get("run"))

    def is_orphan(run: Run) -> bool:
        worker = run.data.tags.get("worker", "")
        if worker and (is_gone(worker) or (is_leaving and worker == locks.owner)):
            return True
        if worker and worker == trainer:
            return False
        is_new = time.time() - run.info.start_time / 1000 < grace
        return run.info.run_id not in wanted and not is_new

    return parent.ask(lambda: end_open_runs_below(parent.run_id, parent.experiment_id, is_orphan))
