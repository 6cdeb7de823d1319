"""Experiment settings, typed, documented and checked, with their defaults.

Each family (baseline, cnn, transfer, ensemble) has an experiment class with only the sections that it
uses, so that settings without effect are errors. ``recipes`` fills them from YAML files and ``--set``.
"""

from fer_mlops.config.data import SPLITS, AugmentConfig, DataConfig
from fer_mlops.config.experiments import (
    FAMILIES,
    BaselineExperiment,
    CnnExperiment,
    EnsembleExperiment,
    EpochExperiment,
    Experiment,
    TransferExperiment,
    image_size,
)
from fer_mlops.config.models import Architecture, CnnConfig, EnsembleConfig, HogSvmConfig, TransferConfig
from fer_mlops.config.training import TrackingConfig, TrainingConfig

__all__ = [
    "FAMILIES",
    "SPLITS",
    "Architecture",
    "AugmentConfig",
    "BaselineExperiment",
    "CnnConfig",
    "CnnExperiment",
    "DataConfig",
    "EnsembleConfig",
    "EnsembleExperiment",
    "EpochExperiment",
    "Experiment",
    "HogSvmConfig",
    "TrackingConfig",
    "TrainingConfig",
    "TransferConfig",
    "TransferExperiment",
    "image_size",
]
