"""Objective: runs one trial in an MLflow run and returns its value."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna import TrialPruned
from optuna.exceptions import OptunaError
from optuna.trial import Trial

from fer_mlops.config import Experiment
from fer_mlops.config.recipes import flatten
from fer_mlops.data.loading import Data
from fer_mlops.errors import FerError, TrackingError
from fer_mlops.evaluation.speed import latency_ms
from fer_mlops.pipelines.teacher import with_fixed_teacher
from fer_mlops.tracking.runs import RunStopped, track
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training.checkpoints import checkpoint_path
from fer_mlops.training.steps import Step
from fer_mlops.tuning.config import Plan, num_steps
from fer_mlops.tuning.search_space import Settings, with_settings
from fer_mlops.tuning.study import ERROR, RUN, RUNS, SETTINGS, WORKER
from fer_mlops.tuning.trial_data import TrialFaces
from fer_mlops.tuning.trial_fit import Fit

_FITS = "fits"
_REASONS = {
    "median": "behind the median of earlier trials",
    "halving": "not among the best third",
    "hyperband": "not among the best third",
}


class TrialFailed(Exception):
    """A trial's settings led to an error; the study continues with other trials."""


@dataclass(frozen=True)
class _Variant:
    """Name, seed and fold of one fit of a trial."""

    name: str
    seed: int
    fold: int


class Objective:
    """Runs trials of one study, each in a child of the run ``parent``."""

    def __init__(
        self,
        plan: Plan,
        faces: TrialFaces,
        parent: str,
        cache: Path,
        worker: str,
        on_asked: Callable[[], None],
    ) -> None:
        self.plan, self.faces, self.parent, self.cache = plan, faces, parent, cache
        self.worker, self.on_asked = worker, on_asked
        quiet: Settings = {"tracking.images_every": 0, "tracking.system_metrics": False}
        self.base = with_settings(plan.experiment, {**quiet, "tracking.register": False})

    def __call__(self, trial: Trial) -> float:
        """Returns the trial's value.

        Raises:
            TrialPruned: The pruner stopped the trial, or it is over the latency budget.
            TrialFailed: The trial's settings led to an error.
            TrackingError: MLflow or the storage does not respond.
        """
        try:
            trial.set_user_attr(WORKER, self.worker)
            settings = self.plan.space.suggest(trial, flatten(self.base))
            trial.set_user_attr(SETTINGS, settings)
        finally:
            self.on_asked()  # the next worker may ask for a trial
        is_again = RUN in trial.user_attrs
        try:
            with self._run_of(trial) as tracker:
                return self._value(trial, settings, tracker, is_again=is_again)
        except RunStopped as reason:
            raise TrialPruned(str(reason)) from reason
        except (TrackingError, OptunaError):  # not the fault of the trial's settings
            raise
        except Exception as error:
            reason_text = _reason(error)
            trial.set_user_attr(ERROR, reason_text)
            raise TrialFailed(reason_text) from error

    @contextmanager
    def _run_of(self, trial: Trial) -> Iterator[Tracker]:
        """Opens the trial's run, or resumes that of a dead worker, and logs how it ends."""
        name = f"trial-{trial.number:03d}"
        dead = trial.user_attrs.get(RUN)
        with track(
            self.base.tracking.experiment,
            name,
            nested=True,
            parent=self.parent,
            resume=dead,
            tags={"worker": self.worker},
        ) as tracker:
            if not dead:
                trial.set_user_attr(RUN, tracker.run_id)
            facts: Settings = {"trial": trial.number, "family": self.base.family, "state": "RUNNING"}
            tracker.log_facts({**facts, "is_retried": bool(dead)})
            try:
                yield tracker
            except RunStopped as reason:
                tracker.log_facts({"state": "PRUNED", "pruned": str(reason)})
                raise
            except (KeyboardInterrupt, TrackingError):
                tracker.log_facts({"state": "STOPPED"})
                raise
            except OptunaError:  # another worker has taken over the run
                raise
            except Exception as error:
                tracker.log_facts({"state": "FAIL", "error": _reason(error)})
                raise
            tracker.log_facts({"state": "COMPLETE"})

    def _value(self, trial: Trial, settings: Settings, tracker: Tracker, *, is_again: bool) -> float:
        """Returns the mean value of the trial's fits."""
        experiment = with_fixed_teacher(with_settings(self.base, settings))
        tracker.log_settings(experiment, settings)
        variants = self._variants(experiment)
        done: dict[str, Any] = dict(trial.user_attrs.get(_FITS, {}))
        values: list[float] = []
        steps = num_steps(experiment)
        for number, variant in enumerate(variants):
            so_far, in_all = number * steps, len(variants) * steps
            watch = _Watch(self.plan, trial, tracker, values, so_far, in_all)
            if variant.name in done:
                watch.repeat(done[variant.name]["scores"])
                values.append(done[variant.name]["value"])
                continue
            fit = Fit(
                replace(experiment, seed=variant.seed), self.plan.tuning.objective, self.plan.is_better
            )
            if len(variants) == 1:
                value = self._fit(fit, variant, tracker, watch, is_again=is_again)
            else:
                value = self._fit_apart(fit, variant, trial, tracker, watch)
                done[variant.name] = {"value": value, "scores": watch.reported}
                trial.set_user_attr(_FITS, done)
            values.append(value)
        mean = float(np.mean(values))
        tracker.log_metrics({"objective": mean})
        return mean

    def _variants(self, experiment: Experiment) -> list[_Variant]:
        return [
            _Variant(f"fold {fold}, seed {seed}", experiment.seed + seed, fold)
            for fold in range(max(self.plan.tuning.folds, 1))
            for seed in range(self.plan.tuning.seeds)
        ]

    def _fit_apart(
        self, fit: Fit, variant: _Variant, trial: Trial, tracker: Tracker, watch: _Watch
    ) -> float:
        """Returns the value of a fit that has its own run, a child of the trial's run."""
        runs: dict[str, str] = dict(trial.user_attrs.get(RUNS, {}))
        dead = runs.get(variant.name)
        name = f"trial-{trial.number:03d} {variant.name}"
        experiment = self.base.tracking.experiment
        tags = {"worker": self.worker}
        with track(
            experiment, name, nested=True, parent=tracker.run_id, resume=dead, tags=tags
        ) as inner:
            trial.set_user_attr(RUNS, {**runs, variant.name: inner.run_id})
            inner.log_settings(fit.experiment)
            return self._fit(fit, variant, inner, watch, is_again=bool(dead))

    def _fit(
        self, fit: Fit, variant: _Variant, tracker: Tracker, watch: _Watch, *, is_again: bool
    ) -> float:
        data = self.faces.of(fit.experiment, variant.fold)
        path = checkpoint_path(self.cache, tracker.run_id)
        try:
            value = fit.run(data, tracker, self.cache, watch.report(data, fit), is_again=is_again)
        except (KeyboardInterrupt, TrackingError):
            raise  # the trial will be retried
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return value


class _Watch:
    """Reports a fit's values to the study, and stops a trial that the pruner rejects."""

    def __init__(
        self,
        plan: Plan,
        trial: Trial,
        tracker: Tracker,
        values: list[float],
        steps_before: int,
        steps_in_all: int,
    ) -> None:
        self.plan, self.trial, self.tracker = plan, trial, tracker
        self.values, self.steps_before, self.steps_in_all = values, steps_before, steps_in_all
        self.reported: list[tuple[int, float]] = []

    def repeat(self, scores: list[tuple[int, float]]) -> None:
        """Reports again the values from before the worker died, without pruning."""
        for number, value in scores:
            self.trial.report(value, number)

    def report(self, data: Data, fit: Fit) -> Callable[[Step], None]:
        """Returns the function that a fit calls after each step."""

        def report(step: Step) -> None:
            if not self.reported:  # first the scores from the checkpoint
                for score in fit.scores[:-1]:
                    self._report_mean(score.step, score.value)
            self._report_mean(step.number, fit.scores[-1].value)
            self._keep_budget(step, data)
            is_last = self.reported[-1][0] == self.steps_in_all  # pruning would save nothing
            if not is_last and self.trial.should_prune():
                epoch, value = self.reported[-1]
                raise RunStopped(
                    f"epoch {epoch}: {self.plan.tuning.objective} {value:.4f}, "
                    f"{_REASONS.get(self.plan.tuning.pruner, 'behind')}"
                )

        return report

    def _report_mean(self, step: int, score: float) -> None:
        """Reports the mean over the fits so far."""
        number = self.steps_before + step
        value = float(np.mean([*self.values, score]))
        self.reported.append((number, value))
        self.trial.report(value, number)

    def _keep_budget(self, step: Step, data: Data) -> None:
        budget = self.plan.tuning.latency_budget
        if budget == float("inf") or "latency_ms" in self.trial.constraints:
            return
        latency = latency_ms(step.classifier, data.parts["valid"].pixels)
        self.tracker.log_metrics({"latency_ms": latency})
        self.trial.set_user_attr("latency_ms", latency)
        self.trial.set_constraint("latency_ms", latency - budget)
        if latency > budget:
            raise RunStopped(
                f"epoch {step.number}: {latency:.1f} ms for one face is over the budget of {budget:g} ms"
            )


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    return first if isinstance(error, FerError) else f"{type(error).__name__}: {first}"
