"""Experiment settings, typed, documented and checked, with their defaults.

Each family (baseline, cnn, transfer) has an experiment class with only the sections that it uses, so
that settings without effect are errors. ``recipes`` fills them from YAML files and ``--set``.
"""

from fer_mlops.config.data import SPLITS, AugmentConfig, DataConfig
from fer_mlops.config.experiments import (
    FAMILIES,
    BaselineExperiment,
    CnnExperiment,
    Experiment,
    TransferExperiment,
    image_size,
)
from fer_mlops.config.models import CnnConfig, HogSvmConfig, TransferConfig
from fer_mlops.config.training import TrackingConfig, TrainingConfig

__all__ = [
    "FAMILIES",
    "SPLITS",
    "AugmentConfig",
    "BaselineExperiment",
    "CnnConfig",
    "CnnExperiment",
    "DataConfig",
    "Experiment",
    "HogSvmConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TransferConfig",
    "TransferExperiment",
    "image_size",
]
