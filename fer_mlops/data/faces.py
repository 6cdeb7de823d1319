"""Faces: images, labels and identities of one part of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_mlops.emotions import EMOTIONS
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels


@dataclass(frozen=True, kw_only=True)
class Faces:
    """One part of a split."""

    pixels: Images
    labels: Labels
    identities: NDArray[np.str_]
    targets: NDArray[np.float32] | None = None
    """Shares of each emotion [n, 7] as training targets instead of the labels."""
    teacher_probabilities: NDArray[np.float32] | None = None
    """A teacher's softened probabilities [n, 7]; None without a teacher."""

    def __len__(self) -> int:
        return len(self.labels)

    def class_counts(self, weights: Tensor | None = None) -> Tensor:
        """Returns the number of faces of each emotion [7], or the sum of their ``weights`` [n].

        Soft targets count by their shares.
        """
        labels = torch.from_numpy(self.labels)
        if self.targets is None:
            return torch.bincount(labels, weights, minlength=len(EMOTIONS))
        targets = torch.from_numpy(self.targets).double()
        return targets.sum(0) if weights is None else weights @ targets
