"""Sweep configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_mlops.config import (
    BaselineExperiment,
    CnnExperiment,
    EnsembleExperiment,
    Experiment,
    TransferExperiment,
)
from fer_mlops.config.conversion import fill
from fer_mlops.config.tuning import TuningConfig
from fer_mlops.config.validation import require
from fer_mlops.errors import ConfigError
from fer_mlops.tuning.search_space import Space, default_space, read_space


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Plan of a sweep: what is searched, how, and where the study is stored."""

    experiment: Experiment
    """Settings that every trial starts from."""
    space: Space
    tuning: TuningConfig
    study_name: str
    """Name of the study in the storage."""
    storage_url: str
    """An SQLAlchemy URL; never MLflow's own database."""

    def __post_init__(self) -> None:
        if (self.tuning.folds or self.tuning.finalists) and has_teacher(self.experiment, self.space):
            raise ConfigError(
                "a teacher was trained on the faces that --folds and tuning.finalists evaluate on, and "
                "would leak their labels; set both to 0, or give no training.teacher"
            )
        require(
            self.experiment.data.folds == 0,
            "data.folds",
            "0 for a sweep, whose --folds divides train and valid only",
            self.experiment.data.folds,
        )
        if self.tuning.sampler == "grid":
            self.space.grid()

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Direction in which the objective improves."""
        if self.tuning.direction != "auto":
            return self.tuning.direction
        return "minimize" if self.tuning.objective.endswith("loss") else "maximize"

    @property
    def total(self) -> int:
        """Trials after which the study is finished."""
        if self.tuning.sampler != "grid":
            return self.tuning.trials
        return min(self.tuning.trials, math.prod(map(len, self.space.grid().values())))

    @property
    def grace(self) -> int:
        """Seconds without a heartbeat after which a worker counts as dead."""
        return 3 * self.tuning.heartbeat

    def is_better(self, value: float, other: float) -> bool:
        """Returns whether ``value`` is the better of the two."""
        return value > other if self.direction == "maximize" else value < other


def plan_of(
    experiment: Experiment, tuning: Mapping[str, object], *, space: Path | None, study: str, storage: str
) -> Plan:
    """Returns the plan of a sweep.

    ``tuning`` has values of the section ``tuning``. Study and space are the family's by default.

    Raises:
        ConfigError: A value is invalid, or the search space does not fit the experiment.
    """
    family = experiment.family
    chosen_space = read_space(space or default_space(family), experiment)
    # finalists need folds of their own, or would leak to the teacher
    has_none = tuning.get("folds") or has_teacher(experiment, chosen_space)
    return Plan(
        experiment=experiment,
        space=chosen_space,
        tuning=fill(TuningConfig(), {**({"finalists": 0} if has_none else {}), **tuning}, "tuning."),
        study_name=study or family,
        storage_url=storage,
    )


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
        case EnsembleExperiment():
            return 1 + experiment.ensemble.networks * experiment.training.epochs
        case CnnExperiment():
            return experiment.training.epochs
        case TransferExperiment():
            return experiment.transfer.frozen_epochs + experiment.training.epochs
