"""Examples: what a network is fitted to."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fer_mlops.data.faces import Faces
from fer_mlops.images.arrays import Images
from fer_mlops.models.inputs import as_images, to_images
from fer_mlops.training.devices import room_on

_CHUNK = 4096
"""Faces moved to a device at a time."""


@dataclass(frozen=True)
class Examples:
    """What a network is fitted to: gray faces uint8 [n, side, side], or features float [n, d]."""

    inputs: Images | Tensor
    """A tensor of faces is one that ``kept_on`` made."""
    labels: Tensor
    """int64 [n]"""
    targets: Tensor | None = None
    """Shares of each class [n, classes] that are fitted instead; None for the labels."""
    answers: Tensor | None = None
    """A teacher's softened probabilities [n, classes], to be fitted beside the labels."""

    @classmethod
    def from_faces(cls, faces: Faces) -> Examples:
        """Returns the examples of one part of a split."""
        targets = None if faces.targets is None else torch.from_numpy(faces.targets)
        answers = None if faces.answers is None else torch.from_numpy(faces.answers)
        return cls(faces.pixels, torch.from_numpy(faces.labels), targets, answers)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns the inputs, faces in [0, 1], and the targets of these rows on ``device``.

        Where there is a teacher, they are followed by its answers, as ``distilled`` takes them.
        """
        chosen = torch.from_numpy(rows)
        fitted = self.labels if self.targets is None else self.targets
        targets = fitted[chosen].to(device)
        if self.answers is not None:
            answers = self.answers[chosen].to(device)
            shares = F.one_hot(targets, answers.shape[1]) if targets.ndim == 1 else targets
            targets = torch.cat([shares, answers], dim=1)
        if not isinstance(self.inputs, Tensor):
            return to_images(self.inputs[rows], device), targets
        inputs = self.inputs[chosen.to(self.inputs.device)].to(device)
        return (as_images(inputs) if inputs.dtype == torch.uint8 else inputs), targets

    def kept_on(self, device: torch.device) -> Examples:
        """Returns the same examples, their inputs on ``device`` if that has room for them.

        Faces stay uint8 there, a quarter of what a network sees.
        """
        inputs = self.inputs
        width = inputs.element_size() if isinstance(inputs, Tensor) else 1
        if math.prod(inputs.shape) * width > room_on(device):
            return self
        if isinstance(inputs, Tensor):
            return replace(self, inputs=inputs.to(device))
        kept = torch.empty(inputs.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(inputs), _CHUNK):
            kept[start : start + _CHUNK] = torch.from_numpy(np.array(inputs[start : start + _CHUNK]))
        return replace(self, inputs=kept)
