"""One fit of a trial: logs its steps, saves checkpoints and reports to the pruner."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fer_mlops.config import EpochExperiment, Experiment
from fer_mlops.config.recipes import settings_as_json
from fer_mlops.data.loading import Data
from fer_mlops.errors import TrainingError
from fer_mlops.tracking.queries import logged_steps
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training.checkpoints import checkpoint_path, load_checkpoint, save_checkpoint
from fer_mlops.training.steps import Step
from fer_mlops.training.train import train_classifier

KEEP_EVERY = 30.0
"""Seconds between two checkpoints: the most training time that a killed worker loses."""
Report = Callable[[Step], None]
"""Called after each logged step; may raise to end the trial."""


@dataclass(frozen=True)
class StepScore:
    """Objective at a step."""

    step: int
    phase: int
    value: float


class Fit:
    """One training in one run; resumes from the checkpoint of a killed worker if there is one."""

    def __init__(
        self, experiment: Experiment, objective: str, is_better: Callable[[float, float], bool]
    ) -> None:
        self.experiment, self.objective, self.is_better = experiment, objective, is_better
        self.scores: list[StepScore] = []

    def run(self, data: Data, tracker: Tracker, cache: Path, report: Report, *, is_again: bool) -> float:
        """Returns the value of the fit.

        The checkpoint in ``cache`` is removed when the fit succeeds. ``is_again``: the run may hold
        steps that a killed worker logged.

        Raises:
            TrainingError: The fit cannot continue.
        """
        path = checkpoint_path(cache, tracker.run_id)
        unchanged = {"settings": settings_as_json(self.experiment), "digest": data.digest()}
        kept = _kept(path, unchanged) if is_again else None
        logged = tracker.ask(lambda: logged_steps(tracker.run_id, self.objective)) if is_again else ()
        last_logged = max(logged, default=0)
        last_kept = time.monotonic()

        def on_step(step: Step) -> None:
            nonlocal last_kept
            if step.number > last_logged:  # a killed worker has logged the others
                tracker.log_metrics(step.metrics, step.number)
            phase = int(step.metrics.get("train/phase", 1))
            self.scores.append(StepScore(step.number, phase, step.metrics[self.objective]))
            if step.state and time.monotonic() - last_kept > KEEP_EVERY:
                scores = [(score.step, score.phase, score.value) for score in self.scores]
                state = {"step": step.number, "learning": step.state(), "scores": scores}
                save_checkpoint(path, {**unchanged, **state})
                last_kept = time.monotonic()
            report(step)

        if kept:
            self.scores = [StepScore(*score) for score in kept["scores"]]
        train_classifier(
            self.experiment,
            data.parts["train"],
            data.parts["valid"],
            on_step=on_step,
            cache=cache,
            resume_from=kept["learning"] if kept else None,
        )
        path.unlink(missing_ok=True)
        return self.value()

    def value(self) -> float:
        """Returns the objective of the weights that the fit would keep if it ended now."""
        last, experiment = self.scores[-1], self.experiment
        best = last.value
        if not isinstance(experiment, EpochExperiment) or experiment.training.keep_weights == "last":
            return best
        # the weights of the frozen phase are not kept, however good they were
        for score in self.scores:
            if score.phase == last.phase and self.is_better(score.value, best):
                best = score.value
        return best


def _kept(path: Path, unchanged: dict[str, str]) -> dict[str, Any] | None:
    """Returns a killed worker's checkpoint, if it is on this machine and has these settings."""
    try:
        state = load_checkpoint(path)
    except TrainingError:
        return None
    return state if all(state.get(key) == value for key, value in unchanged.items()) else None
