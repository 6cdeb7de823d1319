"""Published expression networks as sources of features, rebuilt in torch with their published weights.

Each network takes gray faces [n, 1, side, side] in [0, 1] of any side, scales them to its own size and
returns features [n, num_features]. They are never trained here.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_mlops.models.efficientnet_lite import SamePadConv2d


def _resized(faces: Tensor, side: int) -> Tensor:
    """Returns the faces scaled to ``side`` as TensorFlow.js does: bilinear, without a filter."""
    return F.interpolate(faces, (side, side), mode="bilinear", align_corners=False)


class _SeparableConv2d(nn.Module):
    """A depthwise convolution, then a convolution over channels with a bias."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = SamePadConv2d(inputs, inputs, 3, stride=stride, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.as_tensor(self.pointwise(self.depthwise(maps)))


class _DenseBlock(nn.Module):
    """Four convolutions; each takes the sum of the outputs before it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0: nn.Module = (
            SamePadConv2d(inputs, outputs, 3, stride=2)
            if inputs == 3
            else _SeparableConv2d(inputs, outputs, 2)
        )
        self.conv1 = _SeparableConv2d(outputs, outputs)
        self.conv2 = _SeparableConv2d(outputs, outputs)
        self.conv3 = _SeparableConv2d(outputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = F.relu(self.conv0(maps))
        total = total + self.conv1(total)
        total = total + self.conv2(F.relu(total))
        return F.relu(total + self.conv3(F.relu(total)))


class FaceApiNet(nn.Module):
    """The expression network of face-api.js up to its 256 features."""

    side = 112
    num_features = 256
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([122.782, 117.001, 104.298]).view(1, 3, 1, 1) / 255)
        widths = (3, 32, 64, 128, 256)
        self.blocks = nn.Sequential(*map(_DenseBlock, widths, widths[1:]))

    def forward(self, faces: Tensor) -> Tensor:
        maps: Tensor = self.blocks(_resized(faces, self.side) - self.mean)
        return maps.mean((2, 3))

    @property
    def explained_layer(self) -> nn.Module:
        """The layer that Grad-CAM explains: the last map, of stride 16."""
        return self.blocks[-1]


class _XceptionBlock(nn.Module):
    """Two separable convolutions and a halving, beside a strided convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=2)
        self.conv1 = _SeparableConv2d(inputs, outputs)
        self.conv2 = _SeparableConv2d(outputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        inner: Tensor = self.conv2(F.relu(self.conv1(F.relu(maps))))
        # TensorFlow's SAME padding, for maps of odd sides: here 29 and 15
        return F.max_pool2d(inner, 3, 2, padding=1) + torch.as_tensor(self.shortcut(maps))


class MiniXception(nn.Module):
    """The expression network of face_classification (arXiv 1710.07557), up to its logits.

    Features are the scores of its own seven emotions, averaged over the face, before the softmax.
    """

    side = 64
    num_features = 7

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, stride=2)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.block2 = _XceptionBlock(64, 128)
        self.block3 = _XceptionBlock(128, 256)
        self.scores = nn.Conv2d(256, 7, 3, padding=1)

    def forward(self, faces: Tensor) -> Tensor:
        maps = F.relu(self.conv1(_resized(faces, self.side) * 2 - 1))
        maps = self.block3(self.block2(F.relu(self.conv2(maps))))
        return torch.as_tensor(self.scores(maps)).mean((2, 3))

    @property
    def explained_layer(self) -> nn.Module:
        """The layer that Grad-CAM explains: the last map, of stride 8."""
        return self.block3
