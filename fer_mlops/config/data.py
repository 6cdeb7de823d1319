"""Data settings: source, split, labels and augmentation."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, ClassVar, Literal

import yaml
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass

from fer_mlops.config.validation import AtLeast0, Settings, Share, require
from fer_mlops.errors import ConfigError

SPLITS = ("identity", "random", "given")
Part = Annotated[float, Field(gt=0, lt=0.5)]
EmotionOrDrop = Literal[
    "drop", "anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig(Settings):
    """Data source, split and labels."""

    section: ClassVar[str] = "data."
    source: str = "sample"
    """``sample``, the path of a data set, or ``name:path``."""
    split: str = "identity"
    """``identity`` keeps each person in one part; ``random`` does not, so its scores are too high;
    ``given`` is the publisher's split; or the path of a csv with columns image,part."""
    folds: AtLeast0 = 0
    """Folds of the cross-validation, each the test part of one run; 0 for a single split."""
    fold: AtLeast0 = 0
    """Number of the fold that is the test part, from 0."""
    valid_share: Part = 0.1
    """Share of the faces used to select epochs and settings, in (0, 0.5)."""
    test_share: Part = 0.2
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
    contempt: EmotionOrDrop = "drop"
    """Emotion given to contempt faces, which data sets of eight classes have, or ``drop``."""

    # a mapping has no hash; settings serve as keys, of tables of data sets
    labels: Mapping[str, EmotionOrDrop] = field(default_factory=dict, hash=False)
    """Mapping from other label or folder names to one of the seven emotions, or to ``drop``, which
    leaves their faces out. ``--set data.labels='{"0": "anger", "Ahegao": "drop"}'``"""

    @field_validator("labels", mode="before")
    @classmethod
    def _read_labels(cls, value: object) -> object:
        with contextlib.suppress(yaml.YAMLError):  # invalid YAML is no mapping either
            value = yaml.safe_load(value) if isinstance(value, str) else value
        return (
            {str(label): emotion for label, emotion in value.items()}
            if isinstance(value, dict)
            else value
        )

    def __post_init__(self) -> None:
        require(
            self.split in SPLITS or self.split.endswith(".csv"),
            "data.split",
            f"one of {', '.join(SPLITS)} or the path of a csv",
            self.split,
            known=SPLITS,
        )
        require(self.folds == 0 or self.folds >= 3, "data.folds", "0, or 3 or more", self.folds)
        require(
            self.folds == 0 or self.split in ("identity", "random"),
            "data.split",
            "identity or random with folds",
            self.split,
        )
        require(self.fold < max(self.folds, 1), "data.fold", "0 to data.folds - 1", self.fold)
        _require_pattern(self.identity_pattern)


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig(Settings):
    """Augmentation of training faces; never applied to validation, test or served faces."""

    section: ClassVar[str] = "augment."
    flip: bool = True
    """Mirror half of the faces."""
    rotation: Annotated[float, Field(ge=0, le=45)] = 10.0
    """Largest rotation in either direction, in degrees, 0 to 45."""
    zoom: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Largest change of scale in either direction, as a share, 0 to 0.5."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.05
    """Largest shift in either direction, as a share of the image side, 0 to 0.5."""
    brightness: Share = 0.2
    """Largest change of brightness, as a share of the full range, 0 to 1."""
    contrast: Share = 0.2
    """Largest change of contrast, as a share, 0 to 1."""
    random_erasing: Share = 0.0
    """Probability of blanking one rectangle (arXiv 1708.04896), 0 to 1."""


def _require_pattern(pattern: str) -> None:
    """Raises ConfigError unless ``pattern`` is empty, or a regular expression with a group."""
    try:
        num_groups = re.compile(pattern).groups
    except re.error as error:
        raise ConfigError(
            f"data.identity_pattern {pattern!r} is not a valid regular expression: {error}"
        ) from None
    if pattern and not num_groups:
        raise ConfigError(
            f"data.identity_pattern needs a group for the person, such as '([a-z]+)_', got {pattern!r}"
        )
