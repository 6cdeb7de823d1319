"""ResNet18 up to its last feature map (arXiv 1512.03385, table 1), as in torchvision.

Layers and random weights are torchvision's, which itself takes as long to import as torch.
"""

from __future__ import annotations

from torch import Tensor, nn

PARTS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
"""torchvision's names of the parts. Here they are numbered, because trained models store them so."""
_WIDTHS = (64, 128, 256, 512)  # channels of each layer


def _convolution(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class _BasicBlock(nn.Module):
    """Two convolutions whose result is added to the input, projected if its shape differs."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        shortcut = None
        if stride != 1 or inputs != outputs:  # first, as in torchvision, for the same random weights
            shortcut = nn.Sequential(_convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
        self.conv1 = _convolution(inputs, outputs, 3, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _convolution(outputs, outputs, 3, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut

    def forward(self, maps: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(maps)))))
        out += maps if self.downsample is None else self.downsample(maps)
        summed: Tensor = self.relu(out)
        return summed


class ResNet18(nn.Sequential):
    """The network up to its last feature map: [batch, 3, h, w] to [batch, 512, h/32, w/32]."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        inputs = 64
        for number, width in enumerate(_WIDTHS):
            stride = 1 if number == 0 else 2
            layers.append(
                nn.Sequential(_BasicBlock(inputs, width, stride), _BasicBlock(width, width, 1))
            )
            inputs = width
        nn.Linear(inputs, 1000)  # torchvision draws the weights of its last layer here
        super().__init__(*layers)
        for module in self.modules():
            # on torch's meta device, where loaded weights follow, normal_ would import torch's compiler
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
