"""Network inputs: faces as float tensors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fer_mlops.images.arrays import Images


def to_images(pixels: Images, device: torch.device) -> Tensor:
    """Returns faces as network inputs: float32 [n, 1, side, side] in [0, 1]."""
    copied = np.array(pixels, dtype=np.uint8)  # not memory-mapped, and writable as torch requires
    return as_images(torch.from_numpy(copied).to(device))


def as_images(faces: Tensor) -> Tensor:
    """Returns faces uint8 [n, side, side] as network inputs on the same device, see ``to_images``."""
    return faces.unsqueeze(1).float().div_(255)
