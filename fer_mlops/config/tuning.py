"""Tuning settings: how a sweep searches, and when it stops."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_mlops.config.validation import AtLeast0, AtLeast1, Settings, require
from fer_mlops.errors import ConfigError

Limit = Annotated[float, Field(gt=0, allow_inf_nan=True)]
"""Positive number; infinite for no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningConfig(Settings):
    """Search method of a sweep, and its limits."""

    section: ClassVar[str] = "tuning."
    trials: AtLeast1 = 20
    """Number of trials in the study; pruned trials count, failed ones do not."""
    timeout: Limit = float("inf")
    """Minutes after which this process starts no trial."""
    workers: AtLeast1 = 1
    """Worker processes on this machine."""
    objective: Literal["valid/macro_f1", "valid/accuracy", "valid/balanced_accuracy", "valid/loss"] = (
        "valid/macro_f1"
    )
    """Metric to optimise; every family reports these at every step, of validation faces only."""
    direction: Literal["auto", "maximize", "minimize"] = "auto"
    """Direction in which the objective improves; ``auto`` minimises only a loss."""
    folds: AtLeast0 = 0
    """Folds of train and valid that every trial is evaluated on; 0 uses the valid part."""
    seeds: AtLeast1 = 1
    """Fits of each trial that differ in their seed; the trial's value is their mean."""
    sampler: Literal["tpe", "gp", "cmaes", "random", "grid"] = "tpe"
    """Optuna sampler that chooses the settings."""
    pruner: Literal["halving", "median", "hyperband", "none"] = "halving"
    """Optuna pruner that stops poor trials early."""
    first_trial: Literal["recipe", "sampler"] = "recipe"
    """``recipe`` tries the experiment's own settings first, if they lie in the space."""
    finalists: AtLeast0 = 2
    """Best trials that are fitted again on folds before the winner is chosen; 0 for none."""
    latency_budget: Limit = float("inf")
    """Longest latency of one face on one thread, in milliseconds."""
    max_failures: AtLeast1 = 5
    """Failed trials in a row after which the sweep stops."""
    heartbeat: AtLeast1 = 20
    """Seconds between a worker's heartbeats; after three missed ones its trial is retried."""

    def __post_init__(self) -> None:
        require(self.folds == 0 or self.folds >= 3, "tuning.folds", "0, or 3 or more", self.folds)
        if self.finalists and self.folds:
            raise ConfigError(
                "tuning.finalists evaluates the best trials on folds, --folds every trial; give one"
            )
