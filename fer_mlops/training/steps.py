"""What every family's learning takes, reports and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One epoch of a network, or one point of the baseline's learning curve."""

    number: int
    """From 1; the horizontal axis of every chart."""
    metrics: Mapping[str, float]
    probabilities: NDArray[np.floating[Any]]
    """Of the validation faces, [n, 7]."""
    classifier: Classifier
    """As it stands now, not calibrated yet; not to be changed."""
    has_images: bool
    """Whether pictures of this step are worth their time."""
    state: Callable[[], dict[str, Any]] | None
    """What ``train_classifier`` needs to go on after this step; None where a family cannot."""


OnStep = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What learning ends with."""

    classifier: Classifier
    facts: Mapping[str, str]
    """What was decided on the way, such as the backbone and why."""


def uncalibrated(bias: NDArray[np.float32]) -> Calibration:
    """Returns what only adds ``bias`` to the logits [7]."""
    return Calibration(bias=tuple(map(float, bias)), temperature=1.0, prior_strength=1.0)
