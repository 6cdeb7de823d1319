"""Base class of the networks: averaging over mirror images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
