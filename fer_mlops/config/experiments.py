"""One experiment class per family, holding only the sections that family uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from fer_mlops.config.architectures import CnnConfig, HogSvmConfig, TransferConfig
from fer_mlops.config.checks import require_seed
from fer_mlops.config.data import AugmentConfig, DataConfig
from fer_mlops.config.fitting import TrackingConfig, TrainingConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineExperiment:
    """HOG + SVM on a data set."""

    family: ClassVar[str] = "baseline"
    seed: int = 0
    """Start of every random choice."""
    data: DataConfig = field(default_factory=DataConfig)
    hog_svm: HogSvmConfig = field(default_factory=HogSvmConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class CnnExperiment:
    """A network from scratch on a data set."""

    family: ClassVar[str] = "cnn"
    seed: int = 0
    """Start of every random choice."""
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    cnn: CnnConfig = field(default_factory=CnnConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        require_seed(self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferExperiment:
    """A pretrained backbone on a data set; ``training`` is its second phase."""

    family: ClassVar[str] = "transfer"
    seed: int = 0
    """Start of every random choice."""
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
        require_seed(self.seed)


Experiment = BaselineExperiment | CnnExperiment | TransferExperiment


FAMILIES: dict[str, type[Experiment]] = {
    "baseline": BaselineExperiment,
    "cnn": CnnExperiment,
    "transfer": TransferExperiment,
}


def image_size(experiment: Experiment) -> int:
    """Returns the side of the faces this experiment's model sees, in pixels."""
    match experiment:
        case BaselineExperiment():
            return experiment.hog_svm.image_size
        case CnnExperiment():
            return experiment.cnn.image_size
        case TransferExperiment():
            return experiment.transfer.image_size
