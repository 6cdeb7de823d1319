"""Finalists: the best trials, fitted again on folds before the winner is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from fer_mlops.config.recipes import Scalar, flatten
from fer_mlops.evaluation.repeats import Spread, spread_of
from fer_mlops.pipelines.teacher import with_fixed_teacher
from fer_mlops.tracking.runs import track
from fer_mlops.training.checkpoints import checkpoint_path
from fer_mlops.tuning.config import Plan
from fer_mlops.tuning.search_space import with_settings
from fer_mlops.tuning.study import SETTINGS, OpenStudy, best_trial, is_over_budget
from fer_mlops.tuning.trial_data import TrialFaces
from fer_mlops.tuning.trial_fit import Fit

FOLDS = 3
"""Folds of train and valid; each fold evaluates a model trained on the others."""
_FINALS = "finals"  # attribute of a study: values by trial and fold, so that no fold is fitted twice


@dataclass(frozen=True)
class Finalist:
    """A trial that was fitted again."""

    trial: FrozenTrial
    values: tuple[float, ...]
    """Objective on each fold."""
    is_start: bool
    """Whether it has the study's initial settings."""

    @property
    def spread(self) -> Spread:
        """Spread of the values over the folds."""
        return spread_of(self.values)

    @property
    def summary(self) -> str:
        """Mean ± standard deviation as text."""
        return f"{self.spread.mean:.4f} ± {self.spread.deviation:.4f}"

    @property
    def name(self) -> str:
        """Name of the trial for readers."""
        return f"trial {self.trial.number}{' (the start)' if self.is_start else ''}"

    def as_dict(self) -> dict[str, object]:
        """Returns the trial's number and its values as plain values, for JSON."""
        own, trial = self.trial.value, self.trial.number
        return {"trial": trial, "value": own, "folds": self.values, "is_start": self.is_start}


@dataclass(frozen=True)
class FinalsResult:
    """Best trial and finalists of a study."""

    best: FrozenTrial
    """Best trial by its own value."""
    finalists: tuple[Finalist, ...]
    """Finalists, best mean over the folds first; empty if the best trial wins directly."""

    @property
    def winner(self) -> FrozenTrial:
        """Trial whose settings are trained as the winner."""
        return self.finalists[0].trial if self.finalists else self.best


def hold_finals(opened: OpenStudy) -> FinalsResult:
    """Fits the study's best trials again, plus the initial trial if complete; returns the outcome.

    There are no finalists if the plan has none or only one trial is complete. The test part is not used.

    Raises:
        TrainingError: No trial was complete.
    """
    plan, study = opened.plan, opened.study
    # the best of many trials on one validation set is partly best by luck; folds of train and valid
    # evaluate the finalists again, on several times as many faces
    best = best_trial(study)
    trials = _contenders(plan, study) if plan.tuning.finalists else []
    if len(trials) < 2:
        return FinalsResult(best, ())
    # folds that an earlier call has fitted are not fitted again
    known: dict[str, dict[str, float]] = study.user_attrs.get(_FINALS, {})
    todo = [(t, i) for t in trials for i in range(FOLDS) if str(i) not in known.get(str(t.number), {})]
    faces = TrialFaces(plan.experiment, opened.data, opened.cache, FOLDS)
    advance = opened.progress(f"{len(trials)} finalists, {FOLDS} folds each", len(todo))
    for trial, fold in todo:
        value = _fit(opened, trial, fold, faces)
        known.setdefault(str(trial.number), {})[str(fold)] = value
        study.set_user_attr(_FINALS, known)
        advance(1)
    finals = [
        Finalist(
            trial,
            tuple(known[str(trial.number)][str(fold)] for fold in range(FOLDS)),
            is_start=_is_start(plan, trial),
        )
        for trial in trials
    ]
    finals.sort(key=lambda finalist: finalist.spread.mean, reverse=plan.direction == "maximize")
    _log_finalists(opened, finals)
    return FinalsResult(best, tuple(finals))


def _contenders(plan: Plan, study: optuna.Study) -> list[FrozenTrial]:
    """Returns complete trials within the budget with distinct settings, best first."""
    complete = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not is_over_budget(trial)
    ]
    complete.sort(key=_value, reverse=plan.direction == "maximize")
    chosen: list[FrozenTrial] = []
    for trial in complete:
        is_wanted = len(chosen) < plan.tuning.finalists or _is_start(plan, trial)
        if is_wanted and all(trial.params != other.params for other in chosen):
            chosen.append(trial)
    return chosen


def _value(trial: FrozenTrial) -> float:
    return trial.value or 0.0


def _is_start(plan: Plan, trial: FrozenTrial) -> bool:
    return trial.params == plan.space.start(flatten(plan.experiment))


def _fit(opened: OpenStudy, trial: FrozenTrial, fold: int, faces: TrialFaces) -> float:
    plan, cache = opened.plan, opened.cache
    experiment = with_fixed_teacher(with_settings(plan.experiment, trial.user_attrs[SETTINGS]))
    with track(
        experiment.tracking.experiment,
        f"final-trial-{trial.number:03d} fold {fold}",
        nested=True,
        parent=opened.parent.run_id,
        tags={"worker": opened.locks.owner},
    ) as tracker:
        tracker.log_settings(experiment)
        tracker.log_facts({"trial": trial.number, "fold": fold, "family": experiment.family})
        fit = Fit(experiment, plan.tuning.objective, plan.is_better)
        try:
            value = fit.run(faces.of(experiment, fold), tracker, cache, lambda _: None, is_again=False)
        except BaseException:  # the next call fits this fold from the start, in another run
            checkpoint_path(cache, tracker.run_id).unlink(missing_ok=True)
            raise
        tracker.log_metrics({"objective": value})
    return value


def _log_finalists(opened: OpenStudy, finals: list[Finalist]) -> None:
    metric = f"final/{opened.plan.tuning.objective}"
    rows: list[dict[str, Scalar | list[float]]] = []
    for finalist in finals:
        opened.parent.log_metrics({metric: finalist.spread.mean}, finalist.trial.number)
        rows.append(
            {
                "trial": finalist.trial.number,
                "is_start": finalist.is_start,
                "value": _value(finalist.trial),
                "folds": list(finalist.values),
                "mean": finalist.spread.mean,
                "deviation": finalist.spread.deviation,
            }
        )
    opened.parent.log_json("study/finalists.json", rows)
