"""Histograms of oriented gradients of faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_mlops.images.arrays import Images
from fer_mlops.progress import Advance, ignore_progress

Vectors = NDArray[np.float32]  # shape [n, features]
_HOG_BATCH = 128


def hog_vectors(
    pixels: Images,
    *,
    cells: Sequence[int],
    orientations: int,
    is_symmetric: bool = False,
    advance: Advance = ignore_progress,
) -> Vectors:
    """Returns the histograms of oriented gradients of each face (Dalal and Triggs, CVPR 2005).

    Blocks of 2 x 2 cells, L2-Hys normalised, square-root compressed: scikit-image's ``hog`` to 1e-6.

    Args:
        pixels: Gray faces, uint8 [n, side, side].
        cells: Sides of cells, in pixels; the histograms of all sizes are concatenated.
        orientations: Number of direction bins over 180 degrees.
        is_symmetric: Whether to average over each face and its mirror image.
        advance: Called with the number of faces just finished.
    """
    # not scikit-image's: batches, and gradients computed once for all cell sizes, are much faster
    parts = []
    for start in range(0, len(pixels), _HOG_BATCH):
        faces = torch.from_numpy(np.array(pixels[start : start + _HOG_BATCH])).double()
        views = [_gradients(faces.sqrt_())]
        if is_symmetric:
            strength, degrees = views[0]
            views.append((strength.flip(2), (180 - degrees.flip(2)) % 180))
        seen = [_all_blocks(strength, degrees, cells, orientations) for strength, degrees in views]
        parts.append((sum(seen[1:], seen[0]) / len(seen)).numpy())
        advance(len(faces))
    return np.concatenate(parts)


def _gradients(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the magnitude of each pixel's gradient, and its direction in degrees, in [0, 180)."""
    down, right = torch.zeros_like(faces), torch.zeros_like(faces)
    torch.sub(faces[:, 2:], faces[:, :-2], out=down[:, 1:-1])
    torch.sub(faces[:, :, 2:], faces[:, :, :-2], out=right[:, :, 1:-1])
    return torch.hypot(right, down), torch.rad2deg(torch.atan2(down, right)) % 180


def _all_blocks(strength: Tensor, degrees: Tensor, cells: Sequence[int], orientations: int) -> Tensor:
    """Returns the normalised blocks of all cell sizes, [n, features]."""
    direction = (degrees / (180 / orientations)).long().clamp_(max=orientations - 1)
    parts = []
    for cell in cells:
        sums = _cell_sums(strength, direction, cell, orientations)
        blocks = sums.unfold(1, 2, 1).unfold(2, 2, 1).permute(0, 1, 2, 4, 5, 3).flatten(3)
        # L2-Hys: unit length, clipped at .2, unit length again
        parts.append(_unit(_unit(blocks).clamp_(max=0.2)).flatten(1))
    return torch.cat(parts, dim=1)


def _cell_sums(strength: Tensor, direction: Tensor, cell: int, orientations: int) -> Tensor:
    """Returns the mean gradient of each direction in each cell, [n, rows, columns, orientations]."""
    n, height, width = strength.shape
    rows, columns = height // cell, width // cell
    top, left = torch.arange(rows * cell) // cell, torch.arange(columns * cell) // cell
    which = (top[:, None] * columns + left) * orientations
    inside = (slice(None), slice(rows * cell), slice(columns * cell))
    index = (which + direction[inside]).flatten(1)
    empty = torch.zeros(n, rows * columns * orientations, dtype=strength.dtype)
    sums = empty.scatter_add_(1, index, strength[inside].flatten(1))
    return (sums / cell**2).float().view(n, rows, columns, orientations)


def _unit(vectors: Tensor) -> Tensor:
    """Returns the vectors scaled to length 1; zero vectors stay zero."""
    return vectors / (vectors.square().sum(-1, keepdim=True) + 1e-10).sqrt()
