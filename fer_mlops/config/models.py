"""Model settings: one class per model family."""

from __future__ import annotations

from dataclasses import dataclass

from fer_mlops.config.validation import require


@dataclass(frozen=True, kw_only=True, slots=True)
class HogSvmConfig:
    """Histogram of oriented gradients, principal components, RBF support vector machine."""

    image_size: int = 96
    """Side of the square gray face, in pixels."""
    cells: tuple[int, ...] = (8, 12, 16)
    """Sides of HOG cells, in pixels; the histograms of all sizes are concatenated."""
    orientations: int = 9
    """Bins of gradient direction."""
    mirror: bool = True
    """Use the mean of a face's histograms and those of its mirror image."""
    components: int = 200
    """Principal components kept (fewer where there are fewer faces)."""
    c: float = 10.0
    """SVM penalty of margin violations."""
    gamma: float = 1.0
    """RBF kernel width, in units of 1 / (components x variance)."""
    fractions: tuple[float, ...] = (0.1, 0.25, 0.5, 1.0)
    """Shares of the training faces in the learning curve, ascending, ending in 1."""

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 512, "hog_svm.image_size", "16 to 512 pixels", self.image_size)
        require(
            1 <= len(self.cells) <= 16 and all(4 <= c <= self.image_size // 2 for c in self.cells),
            "hog_svm.cells",
            "1 to 16 sides of 4 pixels to half the image size",
            self.cells,
        )
        require(2 <= self.orientations <= 360, "hog_svm.orientations", "2 to 360", self.orientations)
        require(self.components >= 1, "hog_svm.components", "1 or more", self.components)
        require(self.c > 0, "hog_svm.c", "positive", self.c)
        require(self.gamma > 0, "hog_svm.gamma", "positive", self.gamma)
        ascending = all(0 < a < b for a, b in zip(self.fractions, self.fractions[1:], strict=False))
        require(
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
    last_pool: bool = True
    """Halve the image after the last block too."""
    hidden: int = 128
    """Units of the first of two fully connected layers; 0 for one layer only."""
    dropout: float = 0.3
    """Share of units dropped before each fully connected layer, in [0, 1)."""
    mirror: bool = False
    """Predict the mean over a face and its mirror image, at twice the time."""
    standardise: bool = False
    """Scale every face to mean 0 and standard deviation 1 before the first convolution."""

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 256, "cnn.image_size", "16 to 256 pixels", self.image_size)
        require(
            len(self.widths) >= 1 and all(1 <= width <= 4096 for width in self.widths),
            "cnn.widths",
            "channel counts of 1 to 4096",
            self.widths,
        )
        require(
            len(self.depths) == len(self.widths) and all(1 <= depth <= 64 for depth in self.depths),
            "cnn.depths",
            f"{len(self.widths)} counts of 1 to 64, one per width",
            self.depths,
        )
        require(
            self.image_size >> len(self.widths) >= 1,
            "cnn.image_size",
            f"at least {2 ** len(self.widths)} for {len(self.widths)} blocks",
            self.image_size,
        )
        require(0 <= self.hidden <= 65536, "cnn.hidden", "0 to 65536", self.hidden)
        require(0 <= self.dropout < 1, "cnn.dropout", "in [0, 1)", self.dropout)


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferConfig:
    """A pretrained backbone: trains its head on frozen features first, then the whole network."""

    image_size: int = 96
    """Side of the square gray face, in pixels."""
    backbone: str = "auto"
    """``dlib_face`` (pretrained on faces), ``efficientnet_lite0``, the name of a convolutional
    classifier of torchvision, ``timm:NAME``, or ``auto``: resnet18 if its weights are available, else
    efficientnet_lite0."""
    weights: str = "imagenet"
    """``imagenet`` (for dlib_face its published weights), torchvision's name of weights
    (``IMAGENET1K_V1``), the path of a state dict in the publisher's format, or ``none``."""
    dropout: float = 0.2
    """Share of features dropped before the head, in [0, 1)."""
    frozen_epochs: int = 30
    """Epochs of the head alone, on features computed once; 0 trains the whole network from the start."""
    frozen_learning_rate: float = 0.003
    """Peak step size of the frozen phase."""
    mirror: bool = False
    """Predict the mean over a face and its mirror image, at twice the time."""
    freeze_batch_norm: bool = True
    """Keep the pretrained batch statistics while the whole network is trained."""
    frozen_stages: int = 0
    """Number of the backbone's first stages (parts between halvings of the image) that are not
    trained."""
    backbone_rate_decay: float = 1.0
    """Factor on the step size from each stage to the one before it, starting at the head (arXiv
    1801.06146), in (0, 1]; 1 gives all stages the same step size."""

    def __post_init__(self) -> None:
        require(32 <= self.image_size <= 512, "transfer.image_size", "32 to 512 pixels", self.image_size)
        require(0 <= self.dropout < 1, "transfer.dropout", "in [0, 1)", self.dropout)
        require(self.frozen_epochs >= 0, "transfer.frozen_epochs", "0 or more", self.frozen_epochs)
        require(
            self.frozen_learning_rate > 0,
            "transfer.frozen_learning_rate",
            "positive",
            self.frozen_learning_rate,
        )
        require(self.frozen_stages >= 0, "transfer.frozen_stages", "0 or more", self.frozen_stages)
        decay = self.backbone_rate_decay
        require(0 < decay <= 1, "transfer.backbone_rate_decay", "in (0, 1]", decay)
