"""Data settings: source, split, labels and augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fer_mlops.config.validation import require, require_pattern
from fer_mlops.emotions import EMOTIONS

SPLITS = ("identity", "random", "given")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """Data source, split and labels."""

    source: str = "sample"
    """``sample``, the path of a data set, or ``name:path``."""
    split: str = "identity"
    """``identity`` keeps each person in one part; ``random`` does not, so its scores are too high;
    ``given`` is the publisher's split; or the path of a csv with columns image,part."""
    folds: int = 0
    """Folds of the cross-validation, each the test part of one run; 0 for a single split."""
    fold: int = 0
    """Number of the fold that is the test part, from 0."""
    valid_share: float = 0.1
    """Share of the faces used to select epochs and settings, in (0, 0.5)."""
    test_share: float = 0.2
    """Share of the faces evaluated once, at the end, in (0, 0.5)."""
    on_bad_image: Literal["error", "skip"] = "error"
    """Handling of unreadable images: ``error`` stops with the name, ``skip`` leaves the image out and
    lists it in the run."""
    identities: Literal["auto", "names", "faces", "none"] = "auto"
    """Source of identities: ``names`` (of files, folders or a column), ``faces`` (photos with the same
    name or the same face are one person; needs the extra ``face``) or ``none`` (nobody is named).
    ``auto`` uses ``names``; ``data check`` compares them with faces if the extra is installed."""
    identity_pattern: str = ""
    """Regular expression searched in an image's path; its first group names the person."""
    relabel: str = ""
    """Reviewed csv with columns image,emotion; its labels replace those of the data set."""
    contempt: Literal[
        "drop", "anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"
    ] = "drop"
    """Emotion given to contempt faces, which data sets of eight classes have, or ``drop``."""

    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Mapping from other label or folder names to one of the seven emotions, or to ``drop``, which
    leaves their faces out. ``--set data.labels='{"0": "anger", "Ahegao": "drop"}'``"""

    def __post_init__(self) -> None:
        for text, emotion in self.labels.items():
            key, rule = f"data.labels of {text!r}", f"drop or one of {', '.join(EMOTIONS)}"
            require(emotion == "drop" or emotion in EMOTIONS, key, rule, emotion)
        require(0 < self.valid_share < 0.5, "data.valid_share", "in (0, 0.5)", self.valid_share)
        require(0 < self.test_share < 0.5, "data.test_share", "in (0, 0.5)", self.test_share)
        require(
            self.split in SPLITS or self.split.endswith(".csv"),
            "data.split",
            f"one of {', '.join(SPLITS)} or the path of a csv",
            self.split,
        )
        require(self.folds == 0 or self.folds >= 3, "data.folds", "0, or 3 or more", self.folds)
        require(
            self.folds == 0 or self.split in ("identity", "random"),
            "data.split",
            "identity or random with folds",
            self.split,
        )
        require(0 <= self.fold < max(self.folds, 1), "data.fold", "0 to data.folds - 1", self.fold)
        require_pattern(self.identity_pattern)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """Augmentation of training faces; never applied to validation, test or served faces."""

    flip: bool = True
    """Mirror half of the faces."""
    rotation: float = 10.0
    """Largest rotation in either direction, in degrees, 0 to 45."""
    zoom: float = 0.1
    """Largest change of scale in either direction, as a share, 0 to 0.5."""
    shift: float = 0.05
    """Largest shift in either direction, as a share of the image side, 0 to 0.5."""
    brightness: float = 0.2
    """Largest change of brightness, as a share of the full range, 0 to 1."""
    contrast: float = 0.2
    """Largest change of contrast, as a share, 0 to 1."""
    erase: float = 0.0
    """Probability of blanking one rectangle (arXiv 1708.04896), 0 to 1."""
    start_size: float = 1.0
    """Share of the image side in the first epochs, 0.5 to 1; the size grows evenly and is full in the
    last third of the epochs (progressive resizing, arXiv 2104.00298)."""
    mixup: float = 0.0
    """Alpha of the Beta distribution that weights the blend of two faces and their labels (arXiv
    1710.09412), 0 to 4; 0 turns it off, 0.2 is usual."""
    cutmix: float = 0.0
    """Probability that a rectangle of another face, with its share of the label, is pasted in (arXiv
    1905.04899), 0 to 1; ``mixup`` applies to the other faces."""

    def __post_init__(self) -> None:
        require(0 <= self.rotation <= 45, "augment.rotation", "0 to 45 degrees", self.rotation)
        require(0 <= self.zoom <= 0.5, "augment.zoom", "0 to 0.5", self.zoom)
        require(0 <= self.shift <= 0.5, "augment.shift", "0 to 0.5", self.shift)
        require(0.5 <= self.start_size <= 1, "augment.start_size", "0.5 to 1", self.start_size)
        require(0 <= self.mixup <= 4, "augment.mixup", "0 to 4", self.mixup)
        for name in ("brightness", "contrast", "erase", "cutmix"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"augment.{name}", "0 to 1", value)
