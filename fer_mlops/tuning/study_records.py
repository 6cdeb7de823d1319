"""Trial records: Optuna's trials in the form that the figures use."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, TrialState

from fer_mlops.reporting.plots import TrialRecord
from fer_mlops.reporting.plots.trials import State
from fer_mlops.tuning.study import ERROR, SETTINGS, WORKER, is_over_budget

_STATES: dict[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


def records_of(study: optuna.Study) -> list[TrialRecord]:
    """Returns the trials that started, without those whose worker died and that were retried."""
    trials = study.get_trials(deepcopy=False, states=tuple(_STATES))
    return [
        record_of(trial)
        for trial in trials
        if trial.state != TrialState.FAIL or ERROR in trial.user_attrs
    ]


def record_of(trial: FrozenTrial) -> TrialRecord:
    """Returns the record of one trial."""
    return TrialRecord(
        number=trial.number,
        state="over budget" if is_over_budget(trial) else _STATES[trial.state],
        value=trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
        settings=dict(trial.user_attrs.get(SETTINGS, trial.params)),
        course=sorted(trial.intermediate_values.items()),
        start=trial.datetime_start,
        end=trial.datetime_complete,
        worker=trial.user_attrs.get(WORKER, ""),
    )


def complete_values(records: Sequence[TrialRecord]) -> set[float]:
    """Returns the distinct values of the complete trials."""
    return {r.value for r in records if r.state == "complete" and r.value is not None}
