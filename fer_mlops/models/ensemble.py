"""Ensemble: frozen experts under one linear head, fused with networks trained from scratch."""

from __future__ import annotations

import copy
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_mlops.config import EnsembleConfig
from fer_mlops.models.base import MirrorAveraging
from fer_mlops.models.cnn import Cnn
from fer_mlops.models.experts import fetch_expert, find_expert


class _ExpertNetwork(Protocol):
    num_features: int
    explained_layer: nn.Module


class Ensemble(MirrorAveraging):
    """Takes faces [n, 1, side, side] in [0, 1]; returns logits [n, num_classes].

    The logits are a weighted sum of log-probabilities: those of the experts' head, and the mean of
    those of the networks (a logarithmic opinion pool, doi 10.1214/ss/1177013825).
    """

    network_bias: Tensor
    """[num_classes]; what turns a network's logits into log-odds under the training frequencies."""
    network_share: Tensor
    """Weight of the networks in the sum, 0 to 1; the head has the rest."""

    def __init__(self, config: EnsembleConfig, num_classes: int) -> None:
        super().__init__()
        self.experts = nn.ModuleDict({name: find_expert(name).build() for name in config.experts})
        num_features = sum(cast(_ExpertNetwork, each).num_features for each in self.experts.values())
        self.head = nn.Linear(num_features, num_classes)
        self.networks = nn.ModuleList(Cnn(config.network, num_classes) for _ in range(config.networks))
        self.shrink = config.image_size // config.network.image_size
        self.register_buffer("network_bias", torch.zeros(num_classes))
        self.register_buffer("network_share", torch.tensor(0.5 if config.networks else 0.0))
        self.averages_mirror = config.mirror
        self.to(memory_format=torch.channels_last)

    def embed(self, images: Tensor) -> Tensor:
        """Returns the features of all experts side by side [n, num_features]."""
        return torch.cat([expert(images) for expert in self.experts.values()], 1)

    def score(self, images: Tensor) -> Tensor:
        """Returns the fused logits of the faces, without mirror averaging."""
        small = F.avg_pool2d(images, self.shrink) if self.networks else images
        return self.fused(self.head(self.embed(images)), [network(small) for network in self.networks])

    def fused(self, head: Tensor, networks: list[Tensor]) -> Tensor:
        """Returns the logits for those of the head and of each network, all [n, num_classes]."""
        of_head = head.log_softmax(1)
        if not networks:
            return of_head
        of_networks = (torch.stack(networks) + self.network_bias).log_softmax(2).mean(0)
        return of_head + self.network_share * (of_networks - of_head)

    def with_networks(self, networks: list[nn.Module], share: float) -> Ensemble:
        """Returns the ensemble with these networks and their share; all else is not copied."""
        changed = copy.copy(self)
        changed._modules = {**self._modules, "networks": nn.ModuleList(networks)}
        changed._buffers = {**self._buffers, "network_share": torch.tensor(share)}
        return changed

    @property
    def explained_layer(self) -> nn.Module:
        """The layer whose activations Grad-CAM weighs: the last map of the first expert."""
        return cast(_ExpertNetwork, next(iter(self.experts.values()))).explained_layer


def build_ensemble(config: EnsembleConfig, num_classes: int) -> Ensemble:
    """Returns an ensemble of the published experts with a random head and random networks.

    Raises:
        WeightsError: The weights of an expert are not installed.
    """
    network = Ensemble(config, num_classes)
    for name, expert in network.experts.items():
        expert.load_state_dict(fetch_expert(name).state_dict())
    network.experts.requires_grad_(False)
    return network.eval()
