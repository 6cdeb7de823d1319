"""Every choice a person can make, typed, explained and checked, with its default.

One experiment class per family (baseline, cnn, transfer) holds only the sections that family uses, so
a setting without effect cannot be made. ``recipes`` fills them from YAML files and ``--set``.
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
