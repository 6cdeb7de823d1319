"""Runs that a killed worker left open."""

from __future__ import annotations

import time

import optuna
from mlflow import MlflowClient
from optuna.trial import TrialState

from fer_mlops.tracker import Tracker
from fer_mlops.tuning.study import RUN, RUNS

_LIVE = (TrialState.RUNNING, TrialState.WAITING)


def end_orphans(study: optuna.Study, parent: Tracker, grace: float) -> int:
    """Ends the open runs below ``parent`` that no trial will go on with; returns how many there were.

    Args:
        study: Whose trials are asked.
        parent: The study's run.
        grace: Seconds; a run that began less ago may belong to a trial that has not said so yet.
    """
    wanted = set()
    for trial in study.get_trials(deepcopy=False, states=_LIVE):
        wanted |= {trial.user_attrs.get(RUN), *trial.user_attrs.get(RUNS, {}).values()}
    return parent.ask(lambda: _end_below(parent.run_id, parent.experiment_id, wanted, grace))


def _end_below(run_id: str, experiment_id: str, wanted: set[str | None], grace: float) -> int:
    client, num_ended = MlflowClient(), 0
    children = client.search_runs(
        [experiment_id],
        f"tags.`mlflow.parentRunId` = '{run_id}' AND attributes.status = 'RUNNING'",
    )
    for child in children:
        own = child.info.run_id
        is_new = time.time() - child.info.start_time / 1000 < grace
        if own in wanted or (is_new and "winner_of" not in child.data.tags):
            continue
        num_ended += 1 + _end_below(own, experiment_id, wanted, grace)
        client.set_tag(own, "ended", "its worker was killed")
        client.set_terminated(own, "FAILED")
    return num_ended
