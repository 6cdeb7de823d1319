"""Model settings: one class per model family."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_mlops.config.validation import AtLeast0, AtLeast1, Positive, Settings, ShareBelow1, require


@dataclass(frozen=True, kw_only=True, slots=True)
class HogSvmConfig(Settings):
    """Histogram of oriented gradients, principal components, RBF support vector machine."""

    section: ClassVar[str] = "hog_svm."
    image_size: Annotated[int, Field(ge=16, le=512)] = 96
    """Side of the square gray face, in pixels."""
    cells: Annotated[tuple[Annotated[int, Field(ge=4)], ...], Field(min_length=1, max_length=16)] = (
        8,
        12,
        16,
    )
    """Sides of HOG cells, in pixels; the histograms of all sizes are concatenated."""
    orientations: Annotated[int, Field(ge=2, le=360)] = 9
    """Bins of gradient direction."""
    mirror: bool = True
    """Use the mean of a face's histograms and those of its mirror image."""
    components: AtLeast1 = 200
    """Principal components kept (fewer where there are fewer faces)."""
    c: Positive = 10.0
    """SVM penalty of margin violations."""
    gamma: Positive = 1.0
    """RBF kernel width, in units of 1 / (components x variance)."""
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    """Shares of the training faces in the learning curve, ascending, ending in 1."""

    def __post_init__(self) -> None:
        most = self.image_size // 2
        require(
            max(self.cells) <= most, "hog_svm.cells", f"{most} or less, half the image size", self.cells
        )
        ascending = all(0 < a < b for a, b in pairwise(self.fractions))
        is_right = ascending and self.fractions[-1:] == (1.0,)
        require(is_right, "hog_svm.fractions", "ascending shares ending in 1", self.fractions)


@dataclass(frozen=True, kw_only=True, slots=True)
class CnnConfig(Settings):
    """A network trained from random weights; the defaults are the four-block course design."""

    section: ClassVar[str] = "cnn."
    image_size: Annotated[int, Field(ge=16, le=256)] = 48
    """Side of the square gray face, in pixels."""
    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1)] = (
        32,
        64,
        128,
        256,
    )
    """Channels of each block; every block halves the image."""
    depths: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (1, 1, 1, 1)
    """Convolutions in each block."""
    last_pool: bool = True
    """Halve the image after the last block too."""
    hidden: Annotated[int, Field(ge=0, le=65536)] = 128
    """Units of the first of two fully connected layers; 0 for one layer only."""
    dropout: ShareBelow1 = 0.3
    """Share of units dropped before each fully connected layer, in [0, 1)."""
    mirror: bool = False
    """Predict the mean over a face and its mirror image, at twice the time."""
    standardise: bool = False
    """Scale every face to mean 0 and standard deviation 1 before the first convolution."""

    def __post_init__(self) -> None:
        num = len(self.widths)
        require(len(self.depths) == num, "cnn.depths", f"{num} counts, one per width", self.depths)
        require(
            self.image_size >> num >= 1,
            "cnn.image_size",
            f"at least {2**num} for {num} blocks",
            self.image_size,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferConfig(Settings):
    """A pretrained backbone: trains its head on frozen features first, then the whole network."""

    section: ClassVar[str] = "transfer."
    image_size: Annotated[int, Field(ge=32, le=512)] = 96
    """Side of the square gray face, in pixels."""
    backbone: str = "auto"
    """``dlib_face`` (pretrained on faces), ``efficientnet_lite0``, the name of a convolutional
    classifier of torchvision, ``timm:NAME``, or ``auto``: dlib_face if its weights are installed, else
    resnet18 if its weights are available, else efficientnet_lite0."""
    weights: str = "imagenet"
    """``imagenet`` (for dlib_face its published weights), torchvision's name of weights
    (``IMAGENET1K_V1``), the path of a state dict in the publisher's format, or ``none``."""
    dropout: ShareBelow1 = 0.2
    """Share of features dropped before the head, in [0, 1)."""
    frozen_epochs: AtLeast0 = 30
    """Epochs of the head alone, on features computed once; 0 trains the whole network from the start."""
    frozen_learning_rate: Positive = 0.003
    """Peak step size of the frozen phase."""
    mirror: bool = False
    """Predict the mean over a face and its mirror image, at twice the time."""
    freeze_batch_norm: bool = True
    """Keep the pretrained batch statistics while the whole network is trained; dlib_face has none, so
    its batch norms are always trained."""
    frozen_stages: AtLeast0 = 0
    """Number of the backbone's first stages (parts between halvings of the image) that are not
    trained."""
    backbone_rate_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the step size from each stage to the one before it, starting at the head (arXiv
    1801.06146), in (0, 1]; 1 gives all stages the same step size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnsembleConfig(Settings):
    """A linear head on published networks, fused with networks trained from random weights."""

    section: ClassVar[str] = "ensemble."
    image_size: Annotated[int, Field(ge=32, le=512)] = 112
    """Side of the square gray face, in pixels; each expert scales it to its own size."""
    experts: Annotated[tuple[str, ...], Field(min_length=1)] = ("face_api", "mini_xception")
    """Names of the experts; ``fer-mlops weights`` lists them."""
    penalty: Positive = 100.0
    """Weight of half the squared norm of the head's weights, beside the sum of the faces' losses."""
    networks: Annotated[int, Field(ge=0, le=16)] = 1
    """Networks trained from random weights, each with another seed; 0 for the experts alone."""
    network_image_size: Annotated[int, Field(ge=16, le=256)] = 56
    """Side of the face in these networks, in pixels; it divides ``image_size``."""
    mirror: bool = True
    """Predict the mean over a face and its mirror image, at twice the time."""

    def __post_init__(self) -> None:
        require(
            len(set(self.experts)) == len(self.experts),
            "ensemble.experts",
            "different names",
            self.experts,
        )
        require(
            self.networks == 0 or self.image_size % self.network_image_size == 0,
            "ensemble.network_image_size",
            f"a divisor of ensemble.image_size, {self.image_size}",
            self.network_image_size,
        )

    @property
    def network(self) -> CnnConfig:
        """Design of each network: that of cnn's preset ``fast``."""
        return CnnConfig(
            image_size=self.network_image_size,
            widths=(32, 64, 96, 128),
            depths=(1, 2, 2, 2),
            last_pool=False,
            hidden=0,
            dropout=0.2,
            standardise=True,
        )


Architecture = CnnConfig | TransferConfig | EnsembleConfig
"""Settings that build a network."""
