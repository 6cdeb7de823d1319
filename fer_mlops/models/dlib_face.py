"""dlib's face recognition network with its published weights: a backbone pretrained on faces.

Architecture: a residual network of 29 convolutions (dlib, ``dnn_face_recognition_ex.cpp``), trained by
Davis King on three million faces to recognise people, released into the public domain (CC0). If a block
halves the image, its shortcut is average-pooled and padded with zero channels.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_mlops.errors import WeightsError, without_extra

MEAN = (122.782 / 255, 117.001 / 255, 104.298 / 255)
DEVIATION = (256 / 255, 256 / 255, 256 / 255)  # dlib's input is (byte - mean) / 256
SMALLEST_SIDE = 64
"""Smallest side of a square input of a ``DlibFaceNet``, in pixels."""

_PACKAGE = "face_recognition_models"
_FILE = Path("models", "dlib_face_recognition_resnet_model_v1.dat")
_LANDMARKS = Path("models", "shape_predictor_5_face_landmarks.dat")
# Channels of each block. The last block of the published network is left out: it would reduce a small
# face to a single pixel.
_WIDTHS = (32,) * 3 + (64,) * 4 + (128,) * 3 + (256,) * 3
_NUM_EMBEDDED = 128


class _ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        stride, padding = (2, 0) if halves else (1, 1)
        self.convolution1 = nn.Conv2d(inputs, outputs, 3, stride, padding)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.convolution2(F.relu(self.norm1(self.convolution1(x)))))
        if self.halves:
            x = F.avg_pool2d(x, 2)
            height, width = y.shape[2] - x.shape[2], y.shape[3] - x.shape[3]  # 0, or -1 for an even side
            y = F.pad(y, (0, -width, 0, -height))
            x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        return F.relu(x + y)


class DlibFaceNet(nn.Sequential):
    """Takes [n, 3, side, side], side from SMALLEST_SIDE; returns the last feature map [n, 256, h, w]."""

    def __init__(self) -> None:
        blocks: list[nn.Module] = []
        inputs = 32
        for outputs in _WIDTHS:
            blocks.append(_ResidualBlock(inputs, outputs, halves=outputs != inputs))
            inputs = outputs
        stem = [nn.Conv2d(3, 32, 7, 2), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3, 2)]
        super().__init__(*stem, *blocks)


class DlibEmbeddingNet(nn.Module):
    """The whole published network; embeddings of photos of the same person are close to each other.

    Takes aligned faces [n, 3, 150, 150], normalised by MEAN and DEVIATION; returns [n, 128].
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = DlibFaceNet()
        self.last = _ResidualBlock(256, 256, halves=True)
        self.embedding = nn.Linear(256, _NUM_EMBEDDED, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.last(self.features(x)).mean((2, 3))
        return torch.as_tensor(self.embedding(pooled))


@torch.no_grad()
def settle_batch_norms(network: nn.Module, images: Tensor) -> None:
    """Gives every batch norm the statistics of ``images`` [n, 1, h, w]; outputs stay the same."""

    def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean = inputs[0].mean(dim=(0, 2, 3))
        variance = inputs[0].var(dim=(0, 2, 3), correction=0)
        # dlib's weights have a scale and a shift in place of each batch norm; adjusted to the
        # statistics, the network can be trained like any other
        slope = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_(slope * (mean - norm.running_mean))
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    network.eval()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(settle) for norm in norms]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()


def fetch_published_weights() -> dict[str, Tensor]:
    """Returns the state dict of a ``DlibFaceNet`` from the installed package of weights."""
    return read_published_weights(_installed(_FILE))


def has_published_weights() -> bool:
    """Returns whether the package of weights is installed."""
    return find_spec(_PACKAGE) is not None


def fetch_embedding_network() -> DlibEmbeddingNet:
    """Returns the published embedding network in evaluation mode.

    Raises:
        WeightsError: The package of weights is not installed, or its file has changed.
    """
    network, path = DlibEmbeddingNet(), _installed(_FILE)
    content = _fill(network, path)
    try:
        values = _tensor(content, content.index(b"\x04fc_2") + 10)
        weights = torch.from_numpy(values).view(256, _NUM_EMBEDDED).T
    except (ValueError, IndexError, RuntimeError) as error:
        raise WeightsError(f"{str(path)!r} is damaged or no network of dlib's: {error}") from error
    with torch.no_grad():
        network.embedding.weight.copy_(weights)
    return network.eval()


def landmarks_file() -> Path:
    """Returns the path of dlib's installed weights for landmarks of eyes and nose (CC0)."""
    return _installed(_LANDMARKS)


def _installed(file: Path) -> Path:
    """Returns the path of a file in the package of weights; raises WeightsError without it."""
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        need = "this --backbone or --identities needs dlib's face weights"
        raise WeightsError(without_extra("face", need))
    # not imported: the package needs pkg_resources, which new versions of setuptools lack
    return Path(spec.submodule_search_locations[0]) / file


def read_published_weights(path: Path) -> dict[str, Tensor]:
    """Returns the state dict of a ``DlibFaceNet`` from a file in dlib's format.

    Raises:
        WeightsError: The file cannot be read or holds another network.
    """
    network = DlibFaceNet()
    _fill(network, path)
    return network.state_dict()


def _fill(network: nn.Module, path: Path) -> bytes:
    """Copies convolutions and scales from a file in dlib's format into ``network``; returns the content.

    Raises:
        WeightsError: The file cannot be read or holds another network.
    """
    try:
        content = path.read_bytes()
        convolutions = [_tensor(content, m.end()) for m in re.finditer(rb"\x05con_4", content)]
        scales = [_tensor(content, m.end()) for m in re.finditer(rb"\x07affine_", content)]
    except OSError as error:
        raise WeightsError(f"cannot read weights from {str(path)!r}: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise WeightsError(f"{str(path)!r} is damaged or no network of dlib's: {error}") from error
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    fits = len(convolutions) >= len(layers) and len(scales) >= len(layers)
    if not fits or any(
        len(values) != layer.weight.numel() + len(layer.weight)
        for layer, values in zip(layers, convolutions, strict=False)
    ):
        raise WeightsError(f"{str(path)!r} does not hold dlib's face recognition network")
    with torch.no_grad():
        for layer, norm, values, scale in zip(layers, norms, convolutions, scales, strict=False):
            num = len(layer.weight)
            assert layer.bias is not None
            layer.weight.copy_(torch.from_numpy(values[:-num]).view_as(layer.weight))
            layer.bias.copy_(torch.from_numpy(values[-num:]))
            norm.weight.copy_(torch.from_numpy(scale[:num]))
            norm.bias.copy_(torch.from_numpy(scale[num:]))
            # so that the norm divides by 1, and its scale and shift are dlib's
            norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]
    return content


def _integer(content: bytes, at: int) -> tuple[int, int]:
    """Returns the integer at this offset in dlib's format, and the offset after it."""
    # a byte with size and sign, then the value's bytes
    size = content[at] & 15
    value = int.from_bytes(content[at + 1 : at + 1 + size], "little")
    return (-value if content[at] & 128 else value), at + 1 + size


def _tensor(content: bytes, at: int) -> NDArray[np.float32]:
    """Returns the tensor at this offset in dlib's format, flat: a version, four sizes, the values."""
    _, at = _integer(content, at)
    count = 1
    for _ in range(4):
        size, at = _integer(content, at)
        count *= size
    return np.frombuffer(content, "<f4", count, at).copy()
