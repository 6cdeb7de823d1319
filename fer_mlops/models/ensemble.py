"""Ensemble: features of several frozen experts under one linear head."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn

from fer_mlops.config import EnsembleConfig
from fer_mlops.models.base import MirrorAveraging
from fer_mlops.models.experts import fetch_expert, find_expert


class _ExpertNetwork(Protocol):
    num_features: int
    explained_layer: nn.Module


class Ensemble(MirrorAveraging):
    """Takes faces [n, 1, side, side] in [0, 1]; returns logits [n, num_classes].

    The head is linear, so the mean of a face's and its mirror image's logits is that of their mean
    features.
    """

    def __init__(self, config: EnsembleConfig, num_classes: int) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({name: find_expert(name).build() for name in config.experts})
        num_features = sum(cast(_ExpertNetwork, each).num_features for each in self.experts.values())
        self.head = nn.Linear(num_features, num_classes)
        self.averages_mirror = config.mirror
        self.to(memory_format=torch.channels_last)

    def embed(self, images: Tensor) -> Tensor:
        """Returns the features of all experts side by side [n, num_features]."""
        return torch.cat([expert(images) for expert in self.experts.values()], 1)

    def score(self, images: Tensor) -> Tensor:
        """Returns the logits of the faces, without mirror averaging."""
        logits: Tensor = self.head(self.embed(images))
        return logits

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose activations Grad-CAM weighs: the last map of the first expert."""
        return cast(_ExpertNetwork, next(iter(self.experts.values()))).explained_layer


def build_ensemble(config: EnsembleConfig, num_classes: int) -> Ensemble:
    """Returns an ensemble of the published experts with a random head.

    Raises:
        WeightsError: The weights of an expert are not installed.
    """
    network = Ensemble(config, num_classes)
    for name, expert in network.experts.items():
        expert.load_state_dict(fetch_expert(name).state_dict())
    return network.requires_grad_(False).eval()
