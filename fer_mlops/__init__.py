"""fer_mlops: train, explain, track and serve facial-expression classifiers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_mlops.serving.predictor import load as load

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Returns ``load``, imported on first use because it needs torch, which ``--help`` must not load."""
    if name == "load":
        from fer_mlops.serving.predictor import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
