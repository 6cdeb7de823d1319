"""Training examples: inputs, labels and targets of a network."""

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
from fer_mlops.models.base import as_images, to_images
from fer_mlops.training.devices import room_on

_CHUNK = 4096  # number of faces moved to a device at a time


@dataclass(frozen=True)
class Examples:
    """Examples of training or validation: gray faces uint8 [n, side, side], or features float [n, d]."""

    inputs: Images | Tensor
    """Faces or features; faces are a tensor only after ``kept_on``."""
    labels: Tensor
    """int64 [n]"""
    targets: Tensor | None = None
    """Targets to fit instead of the labels, in a form that the loss takes; None to fit the labels."""

    @classmethod
    def from_faces(cls, faces: Faces) -> Examples:
        """Returns the examples of one part of a split."""
        labels = torch.from_numpy(faces.labels)
        targets = None if faces.targets is None else torch.from_numpy(faces.targets)
        if faces.teacher_probabilities is not None:  # behind each target, as `distilled` expects
            teacher = torch.from_numpy(faces.teacher_probabilities)
            shares = F.one_hot(labels, teacher.shape[1]) if targets is None else targets
            targets = torch.cat([shares, teacher], dim=1)
        return cls(faces.pixels, labels, targets)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns inputs and targets of these rows on ``device``; faces are in [0, 1]."""
        chosen = torch.from_numpy(rows)
        fitted = self.labels if self.targets is None else self.targets
        targets = fitted[chosen].to(device)
        if not isinstance(self.inputs, Tensor):
            return to_images(self.inputs[rows], device), targets
        inputs = self.inputs[chosen.to(self.inputs.device)].to(device)
        return (as_images(inputs) if inputs.dtype == torch.uint8 else inputs), targets

    def kept_on(self, device: torch.device) -> Examples:
        """Returns the same examples, with their inputs on ``device`` if they fit there."""
        inputs = self.inputs
        width = inputs.element_size() if isinstance(inputs, Tensor) else 1
        if math.prod(inputs.shape) * width > room_on(device):
            return self
        if isinstance(inputs, Tensor):
            return replace(self, inputs=inputs.to(device))
        # uint8: a quarter of the size of the network's float32 inputs
        kept = torch.empty(inputs.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(inputs), _CHUNK):
            kept[start : start + _CHUNK] = torch.from_numpy(np.array(inputs[start : start + _CHUNK]))
        return replace(self, inputs=kept)
