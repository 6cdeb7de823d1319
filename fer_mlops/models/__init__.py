"""Models: networks and the baseline; each network has a file and a line in MODELS."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from fer_mlops.config import Architecture, CnnConfig, EnsembleConfig, TransferConfig

__all__ = ["MODELS", "build_network"]


def _cnn(config: Architecture, num_classes: int) -> nn.Module:
    from fer_mlops.models.cnn import Cnn

    assert isinstance(config, CnnConfig)
    return Cnn(config, num_classes)


def _transfer(config: Architecture, num_classes: int) -> nn.Module:
    from fer_mlops.models.transfer import TransferNetwork

    assert isinstance(config, TransferConfig)
    return TransferNetwork(config.backbone, config, num_classes)


def _ensemble(config: Architecture, num_classes: int) -> nn.Module:
    from fer_mlops.models.ensemble import Ensemble

    assert isinstance(config, EnsembleConfig)
    return Ensemble(config, num_classes)


MODELS: dict[str, Callable[[Architecture, int], nn.Module]] = {
    "cnn": _cnn,
    "transfer": _transfer,
    "ensemble": _ensemble,
}


def build_network(family: str, config: Architecture, num_classes: int) -> nn.Module:
    """Returns the family's network with random weights, into which a state dict can be loaded."""
    return MODELS[family](config, num_classes)
