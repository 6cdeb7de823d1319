"""What is fitted: one class per model family."""

from __future__ import annotations

from dataclasses import dataclass

from fer_mlops.config.checks import require


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
        require(16 <= self.image_size <= 512, "hog_svm.image_size", "16 to 512 pixels", self.image_size)
        require(
            4 <= self.cell <= self.image_size // 2,
            "hog_svm.cell",
            "4 to half the image size",
            self.cell,
        )
        require(self.orientations >= 2, "hog_svm.orientations", "2 or more", self.orientations)
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
    """Share of units silenced before each fully connected layer, in [0, 1)."""
    mirror: bool = False
    """Answer with the mean over a face and its mirror image, at twice the time."""
    standardise: bool = False
    """Give every face mean 0 and deviation 1 before the first convolution."""

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 256, "cnn.image_size", "16 to 256 pixels", self.image_size)
        require(
            len(self.widths) >= 1 and all(width >= 1 for width in self.widths),
            "cnn.widths",
            "positive channel counts",
            self.widths,
        )
        require(
            len(self.depths) == len(self.widths) and all(depth >= 1 for depth in self.depths),
            "cnn.depths",
            f"{len(self.widths)} positive counts, one per width",
            self.depths,
        )
        require(
            self.image_size >> len(self.widths) >= 1,
            "cnn.image_size",
            f"at least {2 ** len(self.widths)} for {len(self.widths)} blocks",
            self.image_size,
        )
        require(self.hidden >= 0, "cnn.hidden", "0 or more", self.hidden)
        require(0 <= self.dropout < 1, "cnn.dropout", "in [0, 1)", self.dropout)


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
        require(32 <= self.image_size <= 512, "transfer.image_size", "32 to 512 pixels", self.image_size)
        require(0 <= self.dropout < 1, "transfer.dropout", "in [0, 1)", self.dropout)
        require(self.frozen_epochs >= 1, "transfer.frozen_epochs", "1 or more", self.frozen_epochs)
        require(
            self.frozen_learning_rate > 0,
            "transfer.frozen_learning_rate",
            "positive",
            self.frozen_learning_rate,
        )
