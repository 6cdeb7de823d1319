"""Recovery: ends runs that a killed worker left open."""

from __future__ import annotations

import time
from collections.abc import Callable

import optuna
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import TrialState

from fer_mlops.tracking.run_end import end_run
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.locks import StudyLocks, is_gone
from fer_mlops.tuning.study import RUN, RUNS, WINNER, WINNER_BEGUN

_LIVE = (TrialState.RUNNING, TrialState.WAITING)


def end_orphans(
    study: optuna.Study, parent: Tracker, claims: StudyLocks, grace: float, *, is_leaving: bool = False
) -> int:
    """Ends the open runs below ``parent`` that no worker owns; returns their number.

    Args:
        study: Study whose trials are read.
        parent: The study's run.
        claims: Locks of this process.
        grace: Seconds; a younger run may belong to a trial that has not recorded it yet.
        is_leaving: Whether this process no longer works on any run.
    """
    wanted = set()
    for trial in study.get_trials(deepcopy=False, states=_LIVE):
        wanted |= {trial.user_attrs.get(RUN), *trial.user_attrs.get(RUNS, {}).values()}

    trainer = claims.owner_of(WINNER)  # trains the finalists and the winner
    if trainer not in (None, claims.owner):
        wanted.add(study.user_attrs.get(WINNER_BEGUN, {}).get("run"))

    def is_orphan(run: Run) -> bool:
        worker = run.data.tags.get("worker", "")
        if worker and (is_gone(worker) or (is_leaving and worker == claims.owner)):
            return True
        if worker and worker == trainer:
            return False
        is_new = time.time() - run.info.start_time / 1000 < grace
        return run.info.run_id not in wanted and not is_new

    return parent.ask(lambda: _end_below(parent.run_id, parent.experiment_id, is_orphan))


def _end_below(run_id: str, experiment_id: str, is_orphan: Callable[[Run], bool]) -> int:
    client, num_ended = MlflowClient(), 0
    wanted = f"tags.`mlflow.parentRunId` = '{run_id}' AND attributes.status = 'RUNNING'"
    for child in client.search_runs([experiment_id], wanted):
        own = child.info.run_id
        num_ended += _end_below(own, experiment_id, is_orphan)
        if is_orphan(child):
            client.set_tag(own, "ended", "its worker is gone")
            end_run(own, "FAILED")
            num_ended += 1
    return num_ended
