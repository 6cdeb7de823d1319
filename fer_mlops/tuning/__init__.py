"""Sweeps: Optuna searches, MLflow shows, any number of processes and machines take part."""

from fer_mlops.tuning.plan import OBJECTIVES, Plan
from fer_mlops.tuning.spaces import Space, default_space, read_space, with_settings
from fer_mlops.tuning.sweep import Sweep, tune

__all__ = [
    "OBJECTIVES",
    "Plan",
    "Space",
    "Sweep",
    "default_space",
    "read_space",
    "tune",
    "with_settings",
]
