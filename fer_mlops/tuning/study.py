"""Optuna study: open or continue it, count its trials, find the best one, record each."""

from __future__ import annotations

import json
import time
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from fer_mlops.config.conversion import REMOVED, RENAMED, is_off
from fer_mlops.config.recipes import flatten
from fer_mlops.data.loading import Data
from fer_mlops.errors import ConfigError, TrainingError
from fer_mlops.progress import Progress
from fer_mlops.tracking.run_end import end_open_runs_below
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.locks import StudyLocks, is_gone
from fer_mlops.tuning.samplers import make_pruner
from fer_mlops.tuning.storage import PatientStorage, retry

if TYPE_CHECKING:
    from mlflow.entities import Run

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
SETTINGS, RUN, RUNS, ERROR, WORKER = "settings", "run", "runs", "error", "worker"
"""Names of a trial's user attributes."""
WINNER, WINNER_BEGUN = "winner", "winner begun"
"""User attributes of a study, {"trial": number, "run": id}; WINNER is also the name of a lock."""
# settings that may differ from machine to machine in one study
_PLACE = ("data.source", "training.device", "training.precision", "tracking.")


@dataclass(frozen=True, kw_only=True)
class OpenStudy:
    """A study that this process works on, with everything that its phases share."""

    plan: Plan
    study: optuna.Study
    locks: StudyLocks
    data: Data
    parent: Tracker
    """The study's run; the runs of trials, finalists and winner are its children."""
    cache: Path
    """Folder for decoded faces, frozen features and checkpoints."""
    progress: Progress


def open_study(plan: Plan, storage: PatientStorage, data_digest: str) -> optuna.Study:
    """Creates or loads the plan's study.

    Raises:
        ConfigError: The study exists with another family, space, objective, direction, data or settings.
    """
    try:
        study = optuna.create_study(
            storage=storage, study_name=plan.study_name, direction=plan.direction
        )
    except DuplicatedStudyError:
        study = optuna.load_study(storage=storage, study_name=plan.study_name)
    study.pruner = make_pruner(plan)
    facts = {
        "family": plan.experiment.family,
        "data_digest": data_digest,
        "direction": " and ".join(direction.name.lower() for direction in study.directions),
        "objective": plan.tuning.objective,
        "space": plan.space.as_json(),
        "latency budget": f"{plan.tuning.latency_budget:g} ms",
        "fits of a trial": f"{plan.tuning.folds} folds, {plan.tuning.seeds} seeds",
    }
    wanted = {**facts, "direction": plan.direction}
    known = study.user_attrs
    # a study without trials may have been made by a process that was killed before it stored the facts
    if "family" not in known and study.get_trials(deepcopy=False):
        raise ConfigError(
            f"study {plan.study_name!r} was not created by fer_mlops; choose another --study"
        )
    for key, value in facts.items():
        stored = known.get(key)
        if stored is None:
            study.set_user_attr(key, value)
            stored = value
        if stored != wanted[key]:
            raise ConfigError(_other(plan.study_name, key, stored, wanted[key]))
    _bind_settings(study, plan, known.get("base settings"))
    return study


def _other(name: str, key: str, stored: str, value: str) -> str:
    if key == "space":
        for former in (*RENAMED, *REMOVED):
            if f'"{former}"' in stored:
                return _has_former(name, former)
        return f"study {name!r} exists with another space; choose another --study, or use that space"
    return f"study {name!r} exists with {key} {stored!r}, not {value!r}; choose another --study"


def _has_former(name: str, key: str) -> str:
    fate = f"now {RENAMED[key]}" if key in RENAMED else "which was removed"
    return f"study {name!r} has trials with the former setting {key}, {fate}; choose another --study"


def _bind_settings(study: optuna.Study, plan: Plan, stored: str | None) -> None:
    """Stores the initial settings in the study, or checks that they are unchanged."""
    tuned = {parameter.key for parameter in plan.space.parameters}
    own = {
        key: value
        for key, value in flatten(plan.experiment).items()
        if key not in tuned and not key.startswith(_PLACE)
    }
    if stored is None:
        study.set_user_attr("base settings", json.dumps(own))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names([plan.tuning.objective])  # for Optuna Dashboard
        return
    before = {RENAMED.get(key, key): value for key, value in json.loads(stored).items()}
    for key in sorted(REMOVED.keys() & before.keys()):
        if not is_off(key, before[key]):
            raise ConfigError(_has_former(plan.study_name, key))
    for key in sorted(own.keys() & before.keys()):
        if own[key] != before[key]:
            raise ConfigError(_other(plan.study_name, key, str(before[key]), str(own[key])))


@dataclass(frozen=True)
class Standing:
    """Number of trials of each kind."""

    num_finished: int
    num_running: int
    num_all: int


def standing_of(study: optuna.Study) -> Standing:
    """Returns the study's current numbers of trials."""
    states = [trial.state for trial in study.get_trials(deepcopy=False)]
    return Standing(
        num_finished=sum(state in FINISHED for state in states),
        num_running=states.count(TrialState.RUNNING),
        num_all=len(states),
    )


def begin_at(study: optuna.Study, plan: Plan) -> None:
    """Queues the experiment's own settings as the first trial of an empty study."""
    if (
        plan.tuning.first_trial == "sampler"
        or plan.tuning.sampler == "grid"
        or study.get_trials(deepcopy=False)
    ):
        return
    start = plan.space.start(flatten(plan.experiment))
    if start is not None:
        study.enqueue_trial(start)


def failures(study: optuna.Study) -> list[FrozenTrial]:
    """Returns the failed trials, without those whose worker died or was stopped."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return [trial for trial in trials if ERROR in trial.user_attrs]


def failures_in_a_row(study: optuna.Study, known: set[int]) -> list[FrozenTrial]:
    """Returns the failed trials after the last successful one, except the ``known`` numbers."""
    good = [
        trial.datetime_complete
        for trial in study.get_trials(deepcopy=False, states=FINISHED)
        if trial.datetime_complete
    ]
    last_good = max(good, default=datetime.min)
    return [
        trial
        for trial in failures(study)
        if trial.number not in known and (trial.datetime_complete or datetime.max) > last_good
    ]


def is_over_budget(trial: FrozenTrial) -> bool:
    """Returns whether the trial breaks a constraint, such as the latency budget."""
    return any(value > 0 for value in trial.constraints.values())


def best_trial(study: optuna.Study) -> FrozenTrial:
    """Returns the complete trial with the best value that keeps the latency budget.

    Raises:
        TrainingError: There is no such trial.
    """
    try:
        return study.best_trial
    except ValueError:
        raise TrainingError(
            f"no trial of study {study.study_name!r} was completed within the latency budget; see its "
            "runs for the reasons"
        ) from None


class StaleTrials:
    """Detects the trials of dead workers and retries them."""

    def __init__(self, study: optuna.Study, grace: float) -> None:
        self.study, self.grace = study, grace
        self._seen: dict[int, float] = {}

    def sweep(self) -> None:
        """Fails the trials of dead workers, and queues them again."""
        # Optuna finds only trials with an old heartbeat
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.study)
        now = time.monotonic()
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        # a worker killed between asking for a trial and its first heartbeat leaves one without a name
        names = {trial.number: trial.user_attrs.get(WORKER, "") for trial in running}
        self._seen = {n: self._seen.get(n, now) for n, name in names.items() if not name}
        for number, name in names.items():
            is_dead = is_gone(name) if name else now - self._seen[number] > self.grace
            if is_dead:
                self.fail_and_requeue(number)

    def fail_and_requeue(self, number: int) -> None:
        """Fails the trial and queues it again, unless another worker has done so."""
        try:
            trial = self.study.tell(number, state=TrialState.FAIL)
        except (ValueError, UpdateFinishedTrialError):
            return  # another worker was faster
        retry(self.study, trial)


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


_LIVE = (TrialState.RUNNING, TrialState.WAITING)


def end_orphans(
    study: optuna.Study, parent: Tracker, locks: StudyLocks, grace: float, *, is_leaving: bool = False
) -> int:
    """Ends the open runs below ``parent`` that no worker owns; returns their number.

    A run younger than ``grace`` seconds may belong to a trial that has not recorded it yet. A process
    that is leaving works on no run any more.
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
