"""Sampling of training faces: one line in SAMPLINGS each."""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLINGS: dict[str, float] = {
    "natural": 1.0,
    "square_root": 0.5,
    "balanced": 0.0,
}
"""Exponent q: a class's share of the sampled faces is proportional to its size to the power q (arXiv
1910.09217)."""


def face_weights(labels: Tensor, sampling: str) -> Tensor:
    """Returns the expected draws of each face per epoch, float64 [n]; they sum to n."""
    counts = torch.bincount(labels).double()
    weights = counts[labels] ** (SAMPLINGS[sampling] - 1)
    return weights * (len(labels) / weights.sum())
