"""What every family's learning takes, reports and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_mlops.calibration import Calibration
from fer_mlops.classifier import Classifier
from fer_mlops.datasets.table import Labels
from fer_mlops.emotions import EMOTIONS
from fer_mlops.pixels import Pixels
from fer_mlops.session import Examples


@dataclass(frozen=True, kw_only=True)
class Faces:
    """One part of a split."""

    pixels: Pixels
    labels: Labels
    identities: NDArray[np.str_]
    targets: NDArray[np.float32] | None = None
    """Shares of each emotion [n, 7] to be fitted instead of the labels."""
    answers: NDArray[np.float32] | None = None
    """A teacher's softened probabilities [n, 7]; None without a teacher."""

    def __len__(self) -> int:
        return len(self.labels)

    def examples(self) -> Examples:
        targets = None if self.targets is None else torch.from_numpy(self.targets)
        answers = None if self.answers is None else torch.from_numpy(self.answers)
        return Examples(self.pixels, torch.from_numpy(self.labels), targets, answers)

    def class_counts(self, weights: Tensor | None = None) -> Tensor:
        """Returns how many faces show each emotion [7]; a face may count for several in part.

        Args:
            weights: How much each face counts [n]; None for 1.
        """
        labels = torch.from_numpy(self.labels)
        if self.targets is None:
            return torch.bincount(labels, weights, minlength=len(EMOTIONS))
        targets = torch.from_numpy(self.targets).double()
        return targets.sum(0) if weights is None else weights @ targets


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
    """What ``learn`` needs to go on after this step; None where a family cannot."""


OnStep = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What learning ends with."""

    classifier: Classifier
    facts: Mapping[str, str]
    """What was decided on the way, such as the backbone and why."""


def uncalibrated(bias: NDArray[np.float32]) -> Calibration:
    """Returns what only adds ``bias`` to the logits [7]."""
    return Calibration(bias=tuple(map(float, bias)), temperature=1.0, prior_strength=1.0)
