"""Faces to vectors: HOG, and a frozen network's features, computed once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_mlops import crew
from fer_mlops.pixels import Pixels
from fer_mlops.progress import Advance, ignore_progress

Vectors = NDArray[np.float32]
"""Shape [n, features]."""
_HOG_BATCH = 128


def hog_vectors(
    pixels: Pixels, *, cell: int, orientations: int, advance: Advance = ignore_progress
) -> Vectors:
    """Returns the histogram of oriented gradients of each face (Dalal and Triggs, CVPR 2005).

    Blocks of 2 x 2 cells, L2-Hys normalised, square-root compressed: the numbers of scikit-image's
    ``hog`` to 1e-6, for a batch at a time and so in a fraction of its time.

    Args:
        pixels: Gray faces, uint8 [n, side, side].
        cell: Side of a cell, in pixels.
        orientations: Bins of direction over 180 degrees.
        advance: Told the number of faces just done.
    """
    parts = []
    for start in range(0, len(pixels), _HOG_BATCH):
        faces = torch.from_numpy(np.array(pixels[start : start + _HOG_BATCH])).double()
        cells = _gradient_histograms(faces.sqrt_(), cell, orientations)
        blocks = cells.unfold(1, 2, 1).unfold(2, 2, 1).permute(0, 1, 2, 4, 5, 3).flatten(3)
        parts.append(_unit(_unit(blocks).clamp_(max=0.2)).flatten(1).float().numpy())
        advance(len(faces))
    return np.concatenate(parts)


def _gradient_histograms(faces: Tensor, cell: int, orientations: int) -> Tensor:
    """Returns the mean gradient of each direction in each cell, [n, rows, columns, orientations]."""
    n, height, width = faces.shape
    down, right = torch.zeros_like(faces), torch.zeros_like(faces)
    torch.sub(faces[:, 2:], faces[:, :-2], out=down[:, 1:-1])
    torch.sub(faces[:, :, 2:], faces[:, :, :-2], out=right[:, :, 1:-1])
    strength = torch.hypot(right, down)
    degrees = torch.rad2deg(torch.atan2(down, right)) % 180
    direction = (degrees / (180 / orientations)).long().clamp_(max=orientations - 1)
    rows, columns = height // cell, width // cell
    top, left = torch.arange(rows * cell) // cell, torch.arange(columns * cell) // cell
    which = (top[:, None] * columns + left) * orientations
    inside = (slice(None), slice(rows * cell), slice(columns * cell))
    index = (which + direction[inside]).flatten(1)
    empty = torch.zeros(n, rows * columns * orientations, dtype=faces.dtype)
    sums = empty.scatter_add_(1, index, strength[inside].flatten(1))
    return sums.view(n, rows, columns, orientations) / cell**2


def _unit(vectors: Tensor) -> Tensor:
    """Returns the vectors at length 1; a vector of zeros stays."""
    return vectors / (vectors.square().sum(-1, keepdim=True) + 1e-10).sqrt()


@torch.inference_mode()
def frozen_features(
    backbone: nn.Module,
    pixels: Pixels,
    *,
    device: torch.device,
    batch_size: int = 64,
    mirrored: bool = False,
    arithmetic: torch.dtype = torch.float32,
    advance: Advance = ignore_progress,
) -> Tensor:
    """Returns the backbone's features of each face, float32 [n, features] on the CPU.

    Several processes share the work.

    Args:
        backbone: Takes faces [n, 1, side, side] in [0, 1]; put in evaluation mode.
        pixels: Gray faces, uint8 [n, side, side].
        device: Where to compute.
        batch_size: Faces at a time.
        mirrored: Flip every face left to right first.
        arithmetic: What the backbone multiplies in.
        advance: Told the number of faces just done.
    """
    backbone.eval()
    parts = []
    for start in range(0, len(pixels), batch_size):
        batch = to_images(pixels[start : start + batch_size], device)
        with torch.autocast(device.type, arithmetic, enabled=arithmetic != torch.float32):
            features = crew.forward(backbone, batch.flip(3) if mirrored else batch)
        parts.append(features.float().cpu())
        advance(len(batch))
    return torch.cat(parts)


def to_images(pixels: Pixels, device: torch.device) -> Tensor:
    """Returns faces as every network takes them: float32 [n, 1, side, side] in [0, 1]."""
    copied = np.array(pixels, dtype=np.uint8)  # off the memory map, and writable as torch wants it
    return as_images(torch.from_numpy(copied).to(device))


def as_images(faces: Tensor) -> Tensor:
    """Returns faces uint8 [n, side, side] as ``to_images`` does, where they are."""
    return faces.unsqueeze(1).float().div_(255)
