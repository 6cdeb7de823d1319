"""fer_mlops: train, explain, track and serve facial-expression classifiers."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_mlops.pipelines.api import compare as compare
    from fer_mlops.pipelines.api import evaluate as evaluate
    from fer_mlops.pipelines.trained_run import Run as Run
    from fer_mlops.pipelines.training import train as train
    from fer_mlops.serving.predictor import load as load
    from fer_mlops.tuning.api import tune as tune

__version__ = "0.1.0"
REGISTERED_NAME = "fer-classifier"
"""Registered model whose versions are the trained classifiers."""
CHAMPION_NAME = f"models:/{REGISTERED_NAME}@champion"
"""Model that is used unless another one is named."""

# module of each public function, imported on first use: `--help` must not load torch
_PLACES = {
    "train": "fer_mlops.pipelines.training",
    "Run": "fer_mlops.pipelines.trained_run",
    "load": "fer_mlops.serving.predictor",
    "evaluate": "fer_mlops.pipelines.api",
    "compare": "fer_mlops.pipelines.api",
    "tune": "fer_mlops.tuning.api",
}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
