"""CNN for small gray faces, trained from random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer_mlops.config import CnnConfig
from fer_mlops.models.base import MirrorAveraging


class Standardise(nn.Module):
    """Scales every face to mean 0 and standard deviation 1, to remove differences in exposure."""

    def forward(self, images: Tensor) -> Tensor:
        centred = images - images.mean(dim=(2, 3), keepdim=True)
        deviation = centred.square().mean(dim=(2, 3), keepdim=True).sqrt()  # nine times as fast as std()
        return centred / (deviation + 1e-3)


class Cnn(MirrorAveraging):
    """Blocks of Conv + BatchNorm + ReLU + MaxPool, global average, one or two linear layers.

    Takes faces [n, 1, side, side] in [0, 1]; returns logits [n, num_classes].
    """

    def __init__(self, config: CnnConfig, num_classes: int) -> None:
        super().__init__()
        self.scale: nn.Module = Standardise() if config.standardise else nn.Identity()
        blocks: list[nn.Module] = []
        inputs = 1
        for width, depth in zip(config.widths, config.depths, strict=True):
            is_last = len(blocks) == len(config.widths) - 1
            blocks.append(_block(inputs, width, depth, config.last_pool if is_last else None))
            inputs = width
        self.features = nn.Sequential(*blocks)
        layers: list[nn.Module] = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout)]
        if config.hidden:
            layers += [nn.Linear(inputs, config.hidden), nn.ReLU(inplace=True)]
            layers += [nn.Dropout(config.dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(config.hidden or inputs, num_classes))
        self.averages_mirror = config.mirror
        self.to(memory_format=torch.channels_last)  # convolutions are faster in this layout

    def score(self, images: Tensor) -> Tensor:
        """Returns the logits of the faces, without mirror averaging."""
        logits: Tensor = self.head(self.features(self.scale(images)))
        return logits

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose activations Grad-CAM weighs: the last block before its pooling."""
        block = self.features[-1]
        assert isinstance(block, nn.Sequential)
        return next(layer for layer in reversed(block) if isinstance(layer, nn.ReLU))


def _block(inputs: int, width: int, depth: int, last_pool: bool | None) -> nn.Sequential:
    """Returns ``depth`` convolutions of ``width`` channels and a pooling.

    ``last_pool`` is whether the last block pools; None for the other blocks.
    """
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Conv2d(inputs, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        inputs = width
    if last_pool is None:
        layers.insert(-1, nn.MaxPool2d(2))  # before the ReLU: same result, a quarter of the work
    elif last_pool:  # after the ReLU, whose output Grad-CAM explains
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)
