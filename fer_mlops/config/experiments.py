"""Experiment classes, one per family, each with only the sections that the family uses."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_mlops.config.data import AugmentConfig, DataConfig
from fer_mlops.config.models import CnnConfig, EnsembleConfig, HogSvmConfig, TransferConfig
from fer_mlops.config.training import TrackingConfig, TrainingConfig
from fer_mlops.config.validation import Settings, require
from fer_mlops.errors import ConfigError

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What NumPy and torch accept."""
Rate = Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineExperiment(Settings):
    """HOG + SVM on a data set."""

    family: ClassVar[str] = "baseline"
    seed: Seed = 0
    """Seed of every random choice."""
    max_error: Rate = 0.05
    """Share of sure predictions that may be wrong; it sets the confidence threshold."""
    data: DataConfig = field(default_factory=DataConfig)
    hog_svm: HogSvmConfig = field(default_factory=HogSvmConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class CnnExperiment(Settings):
    """A network from scratch on a data set."""

    family: ClassVar[str] = "cnn"
    seed: Seed = 0
    """Seed of every random choice."""
    max_error: Rate = 0.05
    """Share of sure predictions that may be wrong; it sets the confidence threshold."""
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    cnn: CnnConfig = field(default_factory=CnnConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferExperiment(Settings):
    """A pretrained backbone on a data set; ``training`` is its second phase."""

    family: ClassVar[str] = "transfer"
    seed: Seed = 0
    """Seed of every random choice."""
    max_error: Rate = 0.05
    """Share of sure predictions that may be wrong; it sets the confidence threshold."""
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=6, batch_size=32, learning_rate=0.0005, schedule="one_cycle", ema_decay=0.99
        )
    )
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        _refuse_teacher(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleExperiment(Settings):
    """Published networks under a linear head, fused with networks that ``training`` trains."""

    family: ClassVar[str] = "ensemble"
    seed: Seed = 0
    """Seed of every random choice."""
    max_error: Rate = 0.05
    """Share of sure predictions that may be wrong; it sets the confidence threshold."""
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=12,
            optimizer="muon",
            learning_rate=0.002,
            weight_decay=0.05,
            schedule="one_cycle",
            ema_decay=0.995,
            keep_weights="last",
        )
    )
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        _refuse_teacher(self)


def _refuse_teacher(experiment: TransferExperiment | EnsembleExperiment) -> None:
    require(
        not experiment.training.teacher,
        "training.teacher",
        f"empty for {experiment.family}; only cnn takes a teacher",
        experiment.training.teacher,
    )


EpochExperiment = CnnExperiment | TransferExperiment | EnsembleExperiment
"""Experiments that train networks in epochs, on augmented faces."""
Experiment = BaselineExperiment | EpochExperiment


FAMILIES: dict[str, type[Experiment]] = {
    "baseline": BaselineExperiment,
    "cnn": CnnExperiment,
    "transfer": TransferExperiment,
    "ensemble": EnsembleExperiment,
}


def image_size(experiment: Experiment) -> int:
    """Returns the side of the model's square input, in pixels."""
    match experiment:
        case BaselineExperiment():
            return experiment.hog_svm.image_size
        case CnnExperiment():
            return experiment.cnn.image_size
        case TransferExperiment():
            return experiment.transfer.image_size
        case EnsembleExperiment():
            return experiment.ensemble.image_size


def check_seeds(experiment: Experiment, num: int) -> None:
    """Checks that the experiment can be repeated with ``num`` seeds.

    Raises:
        ConfigError: There are fewer than two seeds, or folds are set as well.
    """
    if num < 2:
        raise ConfigError(f"--seeds must be 2 or more, for a spread, got {num}")
    if experiment.data.folds:
        raise ConfigError(
            f"--seeds {num} and --folds {experiment.data.folds} both repeat the training; give one"
        )
