"""What networks of every family share when they answer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MirrorAveraging(nn.Module):
    """Answers with the mean over a face and its mirror image where ``averages_mirror`` is set.

    In training it scores the faces as they are.
    """

    averages_mirror: bool

    def forward(self, images: Tensor) -> Tensor:
        if self.training or not self.averages_mirror:
            return self.score(images)
        num = images.shape[0]  # len() would fix the batch size of an exported graph
        both = self.score(torch.cat([images, images.flip(3)]))
        return (both[:num] + both[num:]) / 2

    def score(self, images: Tensor) -> Tensor:
        """Returns the logits [n, classes] of the faces as they are."""
        raise NotImplementedError
