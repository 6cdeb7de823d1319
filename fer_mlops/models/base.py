"""Inputs of the networks, and their base class, which averages over mirror images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from fer_mlops.images.arrays import Images


class MirrorAveraging(nn.Module):
    """Averages logits over a face and its mirror image if ``averages_mirror`` is set.

    In training mode it scores the unflipped faces only.
    """

    averages_mirror: bool

    def forward(self, images: Tensor) -> Tensor:
        if self.training or not self.averages_mirror:
            return self.score(images)
        num = images.shape[0]  # len() would fix the batch size of an exported graph
        both = self.score(torch.cat([images, images.flip(3)]))
        return (both[:num] + both[num:]) / 2

    def score(self, images: Tensor) -> Tensor:
        """Returns the logits [n, classes] of the faces, without mirror averaging."""
        raise NotImplementedError


def to_images(pixels: Images, device: torch.device) -> Tensor:
    """Returns faces as network inputs: float32 [n, 1, side, side] in [0, 1]."""
    copied = np.array(pixels, dtype=np.uint8)  # not memory-mapped, and writable as torch requires
    return as_images(torch.from_numpy(copied).to(device))


def as_images(faces: Tensor) -> Tensor:
    """Returns faces uint8 [n, side, side] as network inputs on the same device, see ``to_images``."""
    return faces.unsqueeze(1).float().div_(255)
