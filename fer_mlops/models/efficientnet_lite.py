"""EfficientNet-Lite0, compatible with the ImageNet weights that its authors trained in TensorFlow.

Architecture: the published EfficientNet-Lite0 (EfficientNet-B0 without squeeze-and-excite, with
ReLU6 and a fixed stem and head; arXiv 1905.11946). TensorFlow pads strided convolutions on the
right and bottom only, and its batch norm uses an epsilon of 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from fer_mlops.errors import WeightsError

NUM_FEATURES = 1280  # channels of the last feature map


# kernel, stride of the first block, expansion, channels, number of blocks
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


class SamePadConv2d(nn.Conv2d):
    """A convolution with TensorFlow's ``SAME`` padding: an odd pixel goes to the right and bottom."""

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return F.conv2d(input, self.weight, self.bias, 1, self.kernel_size[0] // 2, 1, self.groups)
        pads: list[int] = []
        sides = (input.shape[-1], input.shape[-2])
        for size, kernel, stride in zip(sides, self.kernel_size, self.stride, strict=True):
            missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Returns a bias-free convolution and its batch norm."""
    return [
        SamePadConv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
    ]


class _InvertedBlock(nn.Module):
    """Inverted residual: expand, depthwise, project; the input is added if shapes agree."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers += [*_convolution(inputs, inner, 1), nn.ReLU6(inplace=True)]
        layers += _convolution(inner, inner, kernel, stride=stride, groups=inner)
        layers += [nn.ReLU6(inplace=True), *_convolution(inner, outputs, 1)]
        self.layers = nn.Sequential(*layers)
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return images + out if self.is_residual else out


class EfficientNetLite0(nn.Sequential):
    """The network up to its last feature map: [batch, 3, h, w] to [batch, 1280, h/32, w/32]."""

    def __init__(self) -> None:
        layers: list[nn.Module] = [
            nn.Sequential(*_convolution(3, 32, 3, stride=2), nn.ReLU6(inplace=True))
        ]
        inputs = 32
        for kernel, stride, expansion, outputs, num_blocks in _STAGES:
            for number in range(num_blocks):
                own = stride if number == 0 else 1
                layers.append(_InvertedBlock(inputs, outputs, kernel, own, expansion))
                inputs = outputs
        layers.append(nn.Sequential(*_convolution(inputs, NUM_FEATURES, 1), nn.ReLU6(inplace=True)))
        super().__init__(*layers)


def load_published_weights(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads the weights of the published PyTorch file, without its ImageNet head, into ``network``.

    Raises:
        WeightsError: The number of tensors or a shape differs.
    """
    # the file names its tensors differently but has them in the same order, so they are paired by
    # position
    theirs = [(name, t) for name, t in weights.items() if not name.startswith("_fc.")]
    ours = network.state_dict()
    if len(theirs) != len(ours):
        raise WeightsError(
            f"these are not EfficientNet-Lite0 weights: {len(theirs)} tensors, expected {len(ours)}"
        )
    for (their_name, tensor), (our_name, own) in zip(theirs, ours.items(), strict=True):
        if tensor.shape != own.shape:
            raise WeightsError(
                f"these are not EfficientNet-Lite0 weights: {their_name} is {tuple(tensor.shape)}, "
                f"{our_name} is {tuple(own.shape)}"
            )
    network.load_state_dict(
        {our_name: tensor for our_name, (_, tensor) in zip(ours, theirs, strict=True)}
    )
