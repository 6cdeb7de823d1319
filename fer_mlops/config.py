"""Every choice a person can make, typed, explained and checked, with its default.

One experiment class per family (baseline, cnn, transfer) holds only the sections that family uses, so
a setting without effect cannot be made. ``recipes`` fills them from YAML files and ``--set``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from fer_mlops.errors import ConfigError


def _require(is_valid: bool, key: str, rule: str, value: object) -> None:
    if not is_valid:
        raise ConfigError(f"{key} must be {rule}, got {value!r}")


def _require_seed(seed: int) -> None:
    _require(0 <= seed < 2**32, "seed", "0 to 4294967295", seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Which faces, and how they are divided."""

    source: str = "sample"
    """Name of a data set, or a path that holds one (folder of emotions, csv, Muxspace layout)."""
    split: Literal["identity", "random"] = "identity"
    """``identity`` keeps each person in one part; ``random`` does not, so its scores flatter."""
    valid_share: float = 0.1
    """Share of the faces that selects epochs and settings, in (0, 0.5)."""
    test_share: float = 0.2
    """Share of the faces that is looked at once, at the end, in (0, 0.5)."""
    on_bad_image: Literal["error", "skip"] = "error"
    """What an unreadable image does: stop with its name, or be left out and listed in the run."""

    def __post_init__(self) -> None:
        _require(0 < self.valid_share < 0.5, "data.valid_share", "in (0, 0.5)", self.valid_share)
        _require(0 < self.test_share < 0.5, "data.test_share", "in (0, 0.5)", self.test_share)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How training faces are varied; never applied to validation, test or served faces."""

    flip: bool = True
    """Mirror half of the faces."""
    rotation: float = 10.0
    """Largest rotation either way, in degrees, 0 to 45."""
    zoom: float = 0.1
    """Largest change of scale either way, as a share, 0 to 0.5."""
    shift: float = 0.05
    """Largest shift either way, as a share of the image side, 0 to 0.5."""
    brightness: float = 0.2
    """Largest change of brightness, as a share of the full range, 0 to 1."""
    contrast: float = 0.2
    """Largest change of contrast, as a share, 0 to 1."""
    erase: float = 0.0
    """Probability of blanking one rectangle (arXiv 1708.04896), 0 to 1."""

    def __post_init__(self) -> None:
        _require(0 <= self.rotation <= 45, "augment.rotation", "0 to 45 degrees", self.rotation)
        _require(0 <= self.zoom <= 0.5, "augment.zoom", "0 to 0.5", self.zoom)
        _require(0 <= self.shift <= 0.5, "augment.shift", "0 to 0.5", self.shift)
        for name in ("brightness", "contrast", "erase"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"augment.{name}", "0 to 1", value)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How the weights are fitted."""

    epochs: int = 20
    """Most passes over the training faces; early stopping may end sooner."""
    batch_size: int = 64
    """Faces per step."""
    learning_rate: float = 0.001
    """Peak step size of AdamW."""
    weight_decay: float = 0.01
    """AdamW's decoupled decay (arXiv 1711.05101)."""
    schedule: Literal["plateau", "one_cycle"] = "plateau"
    """``plateau`` halves the rate when validation stalls for 2 epochs; ``one_cycle`` warms up and
    anneals over all epochs (arXiv 1708.07120)."""
    loss: Literal["cross_entropy", "class_weighted", "logit_adjusted", "focal"] = "logit_adjusted"
    """What is minimised; all but the first counter class imbalance."""
    label_smoothing: float = 0.05
    """Probability mass spread over all emotions, 0 to 0.5."""
    ema_decay: float = 0.0
    """Decay per step of the averaged weights that are validated and kept; 0 turns averaging off."""
    patience: int = 6
    """Epochs without a better validation macro-F1 after which training stops."""
    device: str = "auto"
    """``auto`` (CUDA, else MPS, else CPU) or a torch device."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; ``auto`` is bfloat16 on CUDA, else float32."""

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "training.epochs", "1 or more", self.epochs)
        _require(self.batch_size >= 2, "training.batch_size", "2 or more", self.batch_size)
        _require(self.learning_rate > 0, "training.learning_rate", "positive", self.learning_rate)
        _require(self.weight_decay >= 0, "training.weight_decay", "0 or more", self.weight_decay)
        _require(
            0 <= self.label_smoothing <= 0.5,
            "training.label_smoothing",
            "0 to 0.5",
            self.label_smoothing,
        )
        _require(0 <= self.ema_decay < 1, "training.ema_decay", "in [0, 1)", self.ema_decay)
        _require(self.patience >= 1, "training.patience", "1 or more", self.patience)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingConfig:
    """What a run shows beside its numbers."""

    experiment: str = "fer_mlops"
    """MLflow experiment the run belongs to."""
    images_every: int = 1
    """Epochs between confusion-matrix and Grad-CAM images; 0 leaves them out."""
    system_metrics: bool = True
    """Sample processor and memory use during the run."""
    register: bool = True
    """Register the trained model as a version of ``fer-classifier``."""

    def __post_init__(self) -> None:
        _require(self.images_every >= 0, "tracking.images_every", "0 or more", self.images_every)


@dataclass(frozen=True, kw_only=True, slots=True)
class HogSvmConfig:
    """Histogram of oriented gradients, principal components, RBF support vector machine."""

    image_size: int = 96
    """Side of the square gray face, in pixels."""
    cell: int = 12
    """Side of one HOG cell, in pixels."""
    orientations: int = 9
    """Bins of gradient direction."""
    components: int = 200
    """Principal components kept (fewer where there are fewer faces)."""
    c: float = 10.0
    """SVM penalty of margin violations."""
    gamma: float = 1.0
    """RBF kernel width, in units of 1 / (components x variance)."""
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    """Training shares of the learning curve, ascending, ending in 1."""

    def __post_init__(self) -> None:
        _require(16 <= self.image_size <= 512, "hog_svm.image_size", "16 to 512 pixels", self.image_size)
        _require(
            4 <= self.cell <= self.image_size // 2,
            "hog_svm.cell",
            "4 to half the image size",
            self.cell,
        )
        _require(self.orientations >= 2, "hog_svm.orientations", "2 or more", self.orientations)
        _require(self.components >= 1, "hog_svm.components", "1 or more", self.components)
        _require(self.c > 0, "hog_svm.c", "positive", self.c)
        _require(self.gamma > 0, "hog_svm.gamma", "positive", self.gamma)
        ascending = all(0 < a < b for a, b in zip(self.fractions, self.fractions[1:], strict=False))
        _require(
            ascending and self.fractions[-1:] == (1.0,),
            "hog_svm.fractions",
            "ascending shares ending in 1",
            self.fractions,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class CnnConfig:
    """A network trained from random weights; the defaults are the four-block course design."""

    image_size: int = 48
    """Side of the square gray face, in pixels."""
    widths: tuple[int, ...] = (32, 64, 128, 256)
    """Channels of each block; every block halves the image."""
    depths: tuple[int, ...] = (1, 1, 1, 1)
    """Convolutions in each block."""
    hidden: int = 128
    """Units of the first fully connected layer."""
    dropout: float = 0.3
    """Share of units silenced before each fully connected layer, in [0, 1)."""
    standardise: bool = False
    """Give every face mean 0 and deviation 1 before the first convolution."""

    def __post_init__(self) -> None:
        _require(16 <= self.image_size <= 256, "cnn.image_size", "16 to 256 pixels", self.image_size)
        _require(
            len(self.widths) >= 1 and all(width >= 1 for width in self.widths),
            "cnn.widths",
            "positive channel counts",
            self.widths,
        )
        _require(
            len(self.depths) == len(self.widths) and all(depth >= 1 for depth in self.depths),
            "cnn.depths",
            f"{len(self.widths)} positive counts, one per width",
            self.depths,
        )
        _require(
            self.image_size >> len(self.widths) >= 1,
            "cnn.image_size",
            f"at least {2 ** len(self.widths)} for {len(self.widths)} blocks",
            self.image_size,
        )
        _require(self.hidden >= 1, "cnn.hidden", "1 or more", self.hidden)
        _require(0 <= self.dropout < 1, "cnn.dropout", "in [0, 1)", self.dropout)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferConfig:
    """A pretrained backbone: its head first, on frozen features, then the whole network."""

    image_size: int = 96
    """Side of the square gray face, in pixels."""
    backbone: str = "auto"
    """A name in BACKBONES, or ``auto``: resnet18 if its weights can be had, else
    efficientnet_lite0."""
    weights: str = "imagenet"
    """``imagenet``, the path of a state dict in the publisher's format, or ``none``."""
    dropout: float = 0.2
    """Share of features silenced before the head, in [0, 1)."""
    frozen_epochs: int = 30
    """Epochs of the head alone, over features computed once."""
    frozen_learning_rate: float = 0.003
    """Peak step size of the frozen phase."""
    freeze_batch_norm: bool = True
    """Keep the pretrained batch statistics while the whole network is fitted."""

    def __post_init__(self) -> None:
        _require(
            32 <= self.image_size <= 512, "transfer.image_size", "32 to 512 pixels", self.image_size
        )
        _require(0 <= self.dropout < 1, "transfer.dropout", "in [0, 1)", self.dropout)
        _require(self.frozen_epochs >= 1, "transfer.frozen_epochs", "1 or more", self.frozen_epochs)
        _require(
            self.frozen_learning_rate > 0,
            "transfer.frozen_learning_rate",
            "positive",
            self.frozen_learning_rate,
        )


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
        _require_seed(self.seed)


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
        _require_seed(self.seed)


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
        _require_seed(self.seed)


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
