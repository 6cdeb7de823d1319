"""Trial records: what is printed and logged of each trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import optuna
from optuna.trial import FrozenTrial, TrialState

from fer_mlops.tuning.study import ERROR, is_over_budget

State = Literal["complete", "pruned", "over budget", "failed", "running"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of a study."""

    number: int
    state: State
    value: float | None
    """Objective; for a pruned trial its last intermediate value."""
    num_steps: int
    """Steps that reported the objective."""


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
        num_steps=len(trial.intermediate_values),
        value=trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
    )
