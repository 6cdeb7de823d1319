"""Faces to vectors: HOG, and a frozen network's features, computed once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import hog
from torch import Tensor, nn

from fer_mlops.images import Advance, Pixels, ignore_progress

Vectors = NDArray[np.float32]
"""Shape [n, features]."""


def hog_vectors(
    pixels: Pixels, *, cell: int, orientations: int, advance: Advance = ignore_progress
) -> Vectors:
    """Returns the histogram of oriented gradients of each face (Dalal and Triggs, CVPR 2005).

    Blocks of 2 x 2 cells, L2-Hys normalised, square-root compressed.

    Args:
        pixels: Gray faces, uint8 [n, side, side].
        cell: Side of a cell, in pixels.
        orientations: Bins of direction.
        advance: Told the number of faces just done.
    """

    def one(face: NDArray[np.uint8]) -> Vectors:
        vector = hog(
            face,
            orientations=orientations,
            pixels_per_cell=(cell, cell),
            cells_per_block=(2, 2),
            transform_sqrt=True,
        )
        advance(1)
        return np.asarray(vector, dtype=np.float32)

    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(one, pixels)))


@torch.inference_mode()
def frozen_features(
    backbone: nn.Module,
    pixels: Pixels,
    *,
    device: torch.device,
    batch_size: int = 64,
    mirrored: bool = False,
    advance: Advance = ignore_progress,
) -> Tensor:
    """Returns the backbone's features of each face, float32 [n, features] on the CPU.

    Args:
        backbone: Takes faces [n, 1, side, side] in [0, 1]; put in evaluation mode.
        pixels: Gray faces, uint8 [n, side, side].
        device: Where to compute.
        batch_size: Faces at a time.
        mirrored: Flip every face left to right first.
        advance: Told the number of faces just done.
    """
    backbone.eval()
    parts = []
    for start in range(0, len(pixels), batch_size):
        batch = to_images(pixels[start : start + batch_size], device)
        parts.append(backbone(batch.flip(3) if mirrored else batch).float().cpu())
        advance(len(batch))
    return torch.cat(parts)


def to_images(pixels: Pixels, device: torch.device) -> Tensor:
    """Returns faces as every network takes them: float32 [n, 1, side, side] in [0, 1]."""
    copied = np.array(pixels, dtype=np.uint8)  # off the memory map, and writable as torch wants it
    return torch.from_numpy(copied).to(device).unsqueeze(1).float().div_(255)
