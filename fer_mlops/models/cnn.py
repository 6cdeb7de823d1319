"""A network from scratch for small gray faces."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fer_mlops.config import CnnConfig


class Standardise(nn.Module):
    """Gives every face mean 0 and deviation 1, so that exposure says nothing."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean(dim=(2, 3), keepdim=True)
        deviation = images.std(dim=(2, 3), keepdim=True, correction=0)
        return (images - mean) / (deviation + 1e-3)


class Cnn(nn.Module):
    """Blocks of Conv + BatchNorm + ReLU ended by MaxPool, global average, two linear layers.

    Takes faces [n, 1, side, side] in [0, 1]; returns logits [n, num_classes].
    """

    def __init__(self, config: CnnConfig, num_classes: int) -> None:
        super().__init__()
        self.scale: nn.Module = Standardise() if config.standardise else nn.Identity()
        blocks = []
        inputs = 1
        for width, depth in zip(config.widths, config.depths, strict=True):
            blocks.append(_block(inputs, width, depth))
            inputs = width
        self.features = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(config.dropout),
            nn.Linear(inputs, config.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, num_classes),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(self.scale(images)))
        return logits

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose activations Grad-CAM weighs: the last block before its pooling."""
        block = self.features[-1]
        assert isinstance(block, nn.Sequential)
        return block[-2]


def _block(inputs: int, width: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [
            nn.Conv2d(inputs, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        inputs = width
    return nn.Sequential(*layers, nn.MaxPool2d(2))
