"""How often each face is shown: one line in SAMPLINGS each."""

from __future__ import annotations

import torch
from torch import Tensor

SAMPLINGS: dict[str, float] = {
    "natural": 1.0,
    "square_root": 0.5,
    "balanced": 0.0,
}
"""The power of a class's size that its share of the shown faces follows (arXiv 1910.09217)."""


def face_weights(labels: Tensor, sampling: str) -> Tensor:
    """Returns how often a pass shows each face on average, float64 [n]; they sum to n."""
    counts = torch.bincount(labels).double()
    weights = counts[labels] ** (SAMPLINGS[sampling] - 1)
    return weights * (len(labels) / weights.sum())
