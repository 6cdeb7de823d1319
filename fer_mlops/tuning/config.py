"""Sweep configuration."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from fer_mlops.config import BaselineExperiment, CnnExperiment, Experiment
from fer_mlops.config.validation import require
from fer_mlops.errors import ConfigError
from fer_mlops.tuning.search_space import Space

SamplerName = Literal["tpe", "gp", "cmaes", "random", "grid"]
PrunerName = Literal["halving", "median", "hyperband", "none"]
DirectionName = Literal["auto", "maximize", "minimize"]
FirstTrial = Literal["recipe", "sampler"]
OBJECTIVES = ("valid/macro_f1", "valid/accuracy", "valid/balanced_accuracy", "valid/loss")
"""Metrics that every family reports at every step, of validation faces only."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Plan of a sweep: search space, search method and storage."""

    experiment: Experiment
    """Settings that every trial starts from."""
    space: Space
    study_name: str
    """Name of the study in the storage."""
    storage_url: str
    """An SQLAlchemy URL; never MLflow's own database."""
    num_trials: int = 20
    """Number of trials in the study; pruned trials count, failed ones do not."""
    minutes: float = float("inf")
    """Minutes after which this process starts no trial."""
    num_workers: int = 1
    """Worker processes on this machine."""
    sampler: SamplerName = "tpe"
    pruner: PrunerName = "halving"
    objective: str = "valid/macro_f1"
    """One of OBJECTIVES."""
    asked_direction: DirectionName = "auto"
    folds: int = 0
    """Folds of train and valid that every trial is evaluated on; 0 uses the valid part."""
    seeds: int = 1
    """Fits of each trial that differ in their seed."""
    finalists: int = 0
    """Best trials that are fitted again on folds before the winner is chosen; 0 for none."""
    latency_budget: float = float("inf")
    """Longest latency of one face on one thread, in milliseconds."""
    max_failures: int = 5
    """Failed trials in a row after which the sweep stops."""
    heartbeat: int = 20
    """Seconds between a worker's heartbeats; after three missed ones its trial is retried."""
    first_trial: FirstTrial = "recipe"
    """``recipe`` tries the experiment's own settings first, if they lie in the space."""

    def __post_init__(self) -> None:
        require(self.num_trials >= 1, "--trials", "1 or more", self.num_trials)
        require(self.minutes > 0, "--timeout", "minutes above 0", self.minutes)
        require(self.num_workers >= 1, "--workers", "1 or more", self.num_workers)
        require(self.folds == 0 or self.folds >= 3, "--folds", "0, or 3 or more", self.folds)
        require(self.seeds >= 1, "--seeds", "1 or more", self.seeds)
        require(self.finalists >= 0, "--finalists", "0 or more", self.finalists)
        if self.finalists and self.folds:
            raise ConfigError(
                "--finalists evaluates the best trials on folds, --folds every trial; give one of them"
            )
        if (self.folds or self.finalists) and has_teacher(self.experiment, self.space):
            raise ConfigError(
                "a teacher was trained on the faces that --folds and --finalists evaluate on, and would "
                "leak their labels; give --folds 0 and --finalists 0, or no training.teacher"
            )
        require(self.latency_budget > 0, "--latency-budget", "milliseconds above 0", self.latency_budget)
        require(self.max_failures >= 1, "--max-failures", "1 or more", self.max_failures)
        require(self.heartbeat >= 1, "--heartbeat", "1 second or more", self.heartbeat)
        for option, value, known in (
            ("--sampler", self.sampler, get_args(SamplerName)),
            ("--pruner", self.pruner, get_args(PrunerName)),
            ("--direction", self.asked_direction, get_args(DirectionName)),
            ("--first-trial", self.first_trial, get_args(FirstTrial)),
        ):
            require(value in known, option, f"one of {', '.join(known)}", value)
        if self.objective not in OBJECTIVES:
            near = get_close_matches(self.objective, OBJECTIVES, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"--objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}{hint}"
            )
        require(
            self.experiment.data.folds == 0,
            "data.folds",
            "0 for a sweep, whose --folds divides train and valid only",
            self.experiment.data.folds,
        )
        if self.sampler == "grid":
            self.space.grid()

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Direction in which the objective improves."""
        if self.asked_direction != "auto":
            return self.asked_direction
        return "minimize" if self.objective.endswith("loss") else "maximize"

    @property
    def total(self) -> int:
        """Trials after which the study is finished."""
        if self.sampler != "grid":
            return self.num_trials
        size = 1
        for values in self.space.grid().values():
            size *= len(values)
        return min(self.num_trials, size)

    @property
    def grace(self) -> int:
        """Seconds without a heartbeat after which a worker counts as dead."""
        return 3 * self.heartbeat

    def is_better(self, value: float, other: float) -> bool:
        """Returns whether ``value`` is the better of the two."""
        return value > other if self.direction == "maximize" else value < other


def has_teacher(experiment: Experiment, space: Space) -> bool:
    """Returns whether the initial settings or the space give a trial a teacher."""
    return (isinstance(experiment, CnnExperiment) and bool(experiment.training.teacher)) or any(
        parameter.key == "training.teacher" for parameter in space.parameters
    )


def num_steps(experiment: Experiment) -> int:
    """Returns the largest number of steps that one fit reports."""
    match experiment:
        case BaselineExperiment():
            return len(experiment.hog_svm.fractions)
        case CnnExperiment():
            return experiment.training.epochs
        case _:
            return experiment.transfer.frozen_epochs + experiment.training.epochs
