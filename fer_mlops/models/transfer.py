"""Transfer network: a pretrained backbone with a new head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fer_mlops.config import TransferConfig
from fer_mlops.errors import ConfigError, WeightsError
from fer_mlops.models.backbones import find_backbone
from fer_mlops.models.base import MirrorAveraging
from fer_mlops.models.dlib_face import SMALLEST_SIDE, has_published_weights
from fer_mlops.models.feature_maps import pooled, survey
from fer_mlops.models.weights import StateDict, read_state_dict


@dataclass(frozen=True)
class BackboneChoice:
    """Backbone and weights that a transfer network starts from, and the reason for them."""

    backbone: str
    weights: str
    """``imagenet``, the publisher's name of weights, ``none`` or a path."""
    reason: str


class TransferNetwork(MirrorAveraging):
    """Network with a backbone: gray faces [n, 1, side, side] in [0, 1] to logits [n, num_classes]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, name: str, config: TransferConfig, num_classes: int) -> None:
        super().__init__()
        backbone = find_backbone(name)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(backbone.deviation).view(1, 3, 1, 1))
        self.features = backbone.build()
        known = survey(self.features, name, config.image_size)
        self.head = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(known.num_features, num_classes))
        self.explained = known.explained
        self.is_batch_norm_frozen = config.freeze_batch_norm and backbone.has_statistics
        self.averages_mirror = config.mirror
        if config.frozen_stages > known.num_stages:
            raise ConfigError(
                f"transfer.frozen_stages must be 0 to {known.num_stages}, the stages of {name}, got "
                f"{config.frozen_stages}"
            )
        stage_of = {n: known.stage_of(n) for n, _ in self.features.named_parameters()}
        self.rates = {
            f"features.{n}": config.backbone_rate_decay ** (known.num_stages - stage)
            for n, stage in stage_of.items()
        }
        """Factor on the learning rate of each of the backbone's parameters, by name."""
        for n, weight in self.features.named_parameters():
            weight.requires_grad_(stage_of[n] >= config.frozen_stages)
        self.frozen = tuple(n for n, stage in known.stages.items() if stage < config.frozen_stages)
        """Names of the backbone's frozen modules; they come before all trained modules."""
        self.to(memory_format=torch.channels_last)

    def embed(self, images: Tensor) -> Tensor:
        """Returns the pooled features [n, num_features]."""
        coloured = (images - self.mean) / self.deviation  # one gray channel becomes three
        return pooled(self.features(coloured))

    def score(self, images: Tensor) -> Tensor:
        """Returns the logits of the faces, without mirror averaging."""
        logits: Tensor = self.head(self.embed(images))
        return logits

    def train(self, mode: bool = True) -> TransferNetwork:
        """Sets training mode; frozen stages and frozen batch norms stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.features.get_submodule(name).eval()
        if self.is_batch_norm_frozen:
            for module in self.features.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose activations Grad-CAM weighs: the last one of stride at most 16."""
        return self.features.get_submodule(self.explained)


def build_pretrained(config: TransferConfig, num_classes: int) -> tuple[TransferNetwork, BackboneChoice]:
    """Returns the network with its backbone's weights loaded, and their origin.

    ``auto`` uses dlib's face network if its weights are installed, else ResNet18 if its weights are
    available, else EfficientNet-Lite0, whose weights come with an installed package.

    Raises:
        ConfigError: The backbone is unknown.
        WeightsError: The weights are unavailable, or do not fit.
    """
    name, weights, reason = _choose(config)
    network = TransferNetwork(name, config, num_classes)
    if weights is not None:
        find_backbone(name).fill(network.features, weights)
    network.to(memory_format=torch.channels_last)
    return network, BackboneChoice(name, config.weights, reason)


def _choose(config: TransferConfig) -> tuple[str, StateDict | None, str]:
    """Returns the backbone's name, its weights (None for random ones) and the reason."""
    if config.backbone == "auto" and config.weights == "imagenet":
        return _first_available(config.image_size)
    # weights that are named or random are ResNet18's, unless a backbone is named too
    name = "resnet18" if config.backbone == "auto" else config.backbone
    backbone = find_backbone(name)
    if config.weights == "none":
        return name, None, "random weights were requested"
    if config.weights in backbone.named:
        return name, backbone.named[config.weights](), "weights were requested by name"
    if config.weights != "imagenet":
        return name, read_state_dict(Path(config.weights).expanduser()), "weights file given"
    return name, backbone.fetch(), "named by an option, recipe or preset"


def _first_available(side: int) -> tuple[str, StateDict, str]:
    """Returns the backbone of ``auto`` for faces of ``side`` pixels: the first with weights here."""
    if side < SMALLEST_SIDE:
        without = f"faces of {side} pixels are too small for dlib_face"
    elif has_published_weights():
        reason = "it was pretrained on faces, and its weights are installed"
        return "dlib_face", find_backbone("dlib_face").fetch(), reason
    else:
        without = "dlib_face's weights are not installed"
    try:
        reason = f"its ImageNet weights are available; {without}"
        return "resnet18", find_backbone("resnet18").fetch(), reason
    except WeightsError:
        reason = f"its weights are installed; ResNet18's ImageNet weights are unavailable; {without}"
        return "efficientnet_lite0", find_backbone("efficientnet_lite0").fetch(), reason
