"""Network inputs: faces as float tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fer_mlops.images.arrays import Images


def to_images(pixels: Images, device: torch.device) -> Tensor:
    """Returns faces as every network takes them: float32 [n, 1, side, side] in [0, 1]."""
    copied = np.array(pixels, dtype=np.uint8)  # off the memory map, and writable as torch wants it
    return as_images(torch.from_numpy(copied).to(device))


def as_images(faces: Tensor) -> Tensor:
    """Returns faces uint8 [n, side, side] as ``to_images`` does, where they are."""
    return faces.unsqueeze(1).float().div_(255)
