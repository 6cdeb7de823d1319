"""Training and tracking settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fer_mlops.config.validation import require


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """Settings of a network's training."""

    epochs: int = 20
    """Largest number of passes over the training faces; early stopping may end training sooner."""
    batch_size: int = 64
    """Faces per step."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """``muon`` updates convolutions with orthogonalised steps and all other weights with AdamW."""
    learning_rate: float = 0.001
    """Peak step size of AdamW."""
    muon_learning_rate: float = 0.03
    """Peak step size of Muon, for convolutions of a fixed scale; no effect with adamw."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW (arXiv 1711.05101)."""
    schedule: Literal["plateau", "one_cycle"] = "plateau"
    """``plateau`` halves the rate after 3 epochs in a row without a better validation score;
    ``one_cycle`` warms up and anneals over all epochs (arXiv 1708.07120)."""
    loss: Literal["cross_entropy", "class_weighted", "logit_adjusted", "focal"] = "logit_adjusted"
    """Loss function; all but ``cross_entropy`` counter class imbalance."""
    adjustment: float = 1.0
    """Factor on the log prior that ``logit_adjusted`` adds (its tau), 0 to 3; no effect with other
    losses."""
    sampling: Literal["natural", "square_root", "balanced"] = "natural"
    """Sampling of training faces: ``natural`` shows each once per epoch; ``square_root`` and
    ``balanced`` draw with replacement, with class shares proportional to the square root of the class
    size, or equal (arXiv 1910.09217)."""
    defer: float = 0.0
    """Share of the epochs, and of the frozen epochs, that use ``cross_entropy`` and natural sampling
    before ``loss`` and ``sampling`` apply (arXiv 1906.07413), in [0, 1); only later epochs count for
    the best epoch and for early stopping."""
    label_smoothing: float = 0.05
    """Probability mass spread over all emotions, 0 to 0.5."""
    soft_labels: bool = False
    """Train on the shares of annotators' votes instead of labels, if the data set has votes (arXiv
    1608.01041); validation and test use labels."""
    sharpness: float = 0.0
    """Radius of sharpness-aware minimisation (rho of SAM, arXiv 2010.01412), 0 to 2, at twice the
    time; 0 turns it off, 0.05 is usual."""
    ema_decay: float = 0.0
    """Decay per step of the averaged weights that are validated and kept; 0 turns averaging off."""
    keep: Literal["best", "last"] = "best"
    """Epoch whose weights are kept: ``best`` on validation macro-F1, or ``last``, for a schedule that
    ends at rate 0 and a validation set with few rare faces; ``last`` turns early stopping off."""
    patience: int = 6
    """Epochs without a better validation macro-F1 after which training stops."""
    teacher: str = ""
    """Trained model (``models:/…``, ``runs:/…`` or a folder) whose predictions are fitted beside the
    labels (arXiv 1503.02531); empty for none."""
    teacher_weight: float = 0.7
    """Share of the teacher's term in the loss, in (0, 1]; no effect without a teacher."""
    teacher_temperature: float = 2.0
    """Divisor of the log-probabilities of network and teacher before they are compared, 1 to 20; no
    effect without a teacher."""
    device: str = "auto"
    """``auto`` (CUDA, else MPS, else CPU) or a torch device; in a process group each process uses the
    CUDA device of its own number."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the forward pass; ``auto`` is bfloat16 if the hardware supports it, float16 on
    older CUDA devices, else float32. float16 scales the loss so that gradients do not vanish."""

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "training.epochs", "1 or more", self.epochs)
        require(self.batch_size >= 2, "training.batch_size", "2 or more", self.batch_size)
        require(self.learning_rate > 0, "training.learning_rate", "positive", self.learning_rate)
        rate = self.muon_learning_rate
        require(rate > 0, "training.muon_learning_rate", "positive", rate)
        require(self.weight_decay >= 0, "training.weight_decay", "0 or more", self.weight_decay)
        require(
            0 <= self.label_smoothing <= 0.5,
            "training.label_smoothing",
            "0 to 0.5",
            self.label_smoothing,
        )
        require(0 <= self.adjustment <= 3, "training.adjustment", "0 to 3", self.adjustment)
        require(0 <= self.defer < 1, "training.defer", "in [0, 1)", self.defer)
        require(0 <= self.sharpness <= 2, "training.sharpness", "0 to 2", self.sharpness)
        require(0 <= self.ema_decay < 1, "training.ema_decay", "in [0, 1)", self.ema_decay)
        require(self.patience >= 1, "training.patience", "1 or more", self.patience)
        weight, temperature = self.teacher_weight, self.teacher_temperature
        require(0 < weight <= 1, "training.teacher_weight", "in (0, 1]", weight)
        require(1 <= temperature <= 20, "training.teacher_temperature", "1 to 20", temperature)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingConfig:
    """Tracking settings of a run."""

    experiment: str = "fer_mlops"
    """MLflow experiment of the run."""
    images_every: int = 1
    """Epochs between confusion-matrix and Grad-CAM images; 0 leaves them out."""
    system_metrics: bool = True
    """Sample processor and memory use during the run."""
    register: bool = True
    """Register the trained model as a version of ``fer-classifier``."""
    auto_promote: bool = False
    """Run the promotion gate on the registered version when the run has ended."""
    wait_minutes: float = 10.0
    """Longest wait of a finished run for a tracking server that does not respond, in minutes."""

    def __post_init__(self) -> None:
        require(self.images_every >= 0, "tracking.images_every", "0 or more", self.images_every)
        require(self.wait_minutes >= 0, "tracking.wait_minutes", "0 or more", self.wait_minutes)
