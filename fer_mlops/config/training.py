"""Training and tracking settings."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_mlops.config.validation import AtLeast0, AtLeast1, NotNegative, Positive, Settings, ShareBelow1
from fer_mlops.errors import ConfigError, did_you_mean

DEVICES = ("auto", "cpu", "cuda", "mps", "xpu", "hpu", "mtia", "xla", "privateuseone")
"""Kinds of device that torch may compute on; a number may follow, as in cuda:1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig(Settings):
    """Settings of a network's training."""

    section: ClassVar[str] = "training."

    epochs: AtLeast1 = 20
    """Largest number of passes over the training faces; early stopping may end training sooner."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Faces per step."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """``muon`` updates convolutions with orthogonalised steps and all other weights with AdamW."""
    learning_rate: Positive = 0.001
    """Peak step size of AdamW."""
    muon_learning_rate: Positive = 0.03
    """Peak step size of Muon, for convolutions of a fixed scale; no effect with adamw."""
    weight_decay: NotNegative = 0.01
    """Decoupled weight decay of AdamW (arXiv 1711.05101)."""
    schedule: Literal["plateau", "one_cycle"] = "plateau"
    """``plateau`` halves the rate after 3 epochs in a row without a better validation score;
    ``one_cycle`` warms up and anneals over all epochs (arXiv 1708.07120)."""
    loss: Literal["cross_entropy", "class_weighted", "logit_adjusted", "focal"] = "logit_adjusted"
    """Loss function; all but ``cross_entropy`` counter class imbalance."""
    logit_adjustment_tau: Annotated[float, Field(ge=0, le=3)] = 1.0
    """Factor on the log prior that ``logit_adjusted`` adds (its tau), 0 to 3; no effect with other
    losses."""
    sampling: Literal["natural", "square_root", "balanced"] = "natural"
    """Sampling of training faces: ``natural`` shows each once per epoch; ``square_root`` and
    ``balanced`` draw with replacement, with class shares proportional to the square root of the class
    size, or equal (arXiv 1910.09217)."""
    label_smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Probability mass spread over all emotions, 0 to 0.5."""
    soft_labels: bool = False
    """Train on the shares of annotators' votes instead of labels, if the data set has votes (arXiv
    1608.01041); validation and test use labels."""
    ema_decay: ShareBelow1 = 0.0
    """Decay per step of the averaged weights that are validated and kept; 0 turns averaging off."""
    keep_weights: Literal["best", "last"] = "best"
    """Epoch whose weights are kept: ``best`` on validation macro-F1, or ``last``, for a schedule that
    ends at rate 0 and a validation set with few rare faces; ``last`` turns early stopping off."""
    patience: AtLeast1 = 6
    """Epochs without a better validation macro-F1 after which training stops."""
    teacher: str = ""
    """Trained model (``models:/…``, ``runs:/…`` or a folder) whose predictions are fitted beside the
    labels (arXiv 1503.02531); empty for none."""
    teacher_weight: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the teacher's term in the loss, in (0, 1]; no effect without a teacher."""
    teacher_temperature: Annotated[float, Field(ge=1, le=20)] = 2.0
    """Divisor of the log-probabilities of network and teacher before they are compared, 1 to 20; no
    effect without a teacher."""
    device: str = "auto"
    """``auto`` (CUDA, else MPS, else CPU) or a torch device; in a process group each process uses the
    CUDA device of its own number."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of the forward pass; ``auto`` is bfloat16 if the hardware supports it (on a CPU, if a
    step of the network is faster in it), float16 on older CUDA devices, else float32. float16 scales
    the loss so that gradients do not vanish."""

    def __post_init__(self) -> None:
        kind = self.device.partition(":")[0]
        if kind not in DEVICES:
            hint = did_you_mean(kind, DEVICES, f"it is one of {', '.join(DEVICES)}")
            raise ConfigError(f"training.device {self.device!r} cannot be used here; {hint}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingConfig(Settings):
    """Tracking settings of a run."""

    section: ClassVar[str] = "tracking."

    experiment: str = "fer_mlops"
    """MLflow experiment of the run."""
    images_every: AtLeast0 = 1
    """Epochs between confusion-matrix and Grad-CAM images; 0 leaves them out."""
    system_metrics: bool = True
    """Sample processor and memory use during the run."""
    register: bool = True
    """Register the trained model as a version of ``fer-classifier``."""
    auto_promote: bool = False
    """Run the promotion gate on the registered version when the run has ended."""
    wait_minutes: NotNegative = 10.0
    """Longest wait of a finished run for a tracking server that does not respond, in minutes."""
