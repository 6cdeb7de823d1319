"""Experiments from a recipe or preset and settings, for the command line and for Python."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fer_mlops.config import Experiment, TransferConfig, TransferExperiment
from fer_mlops.config.recipes import build_experiment, build_sweep, preset_path
from fer_mlops.errors import ConfigError


def experiment_of(
    family: str, settings: Mapping[str, object], *, recipe: str = "", preset: str = ""
) -> Experiment:
    """Returns the experiment of a recipe or preset with ``settings``, by dotted key, applied.

    Raises:
        ConfigError: A name is unknown, or a value is of the wrong type or out of range.
    """
    path = _recipe_path(family, recipe, preset)
    experiment = build_experiment(family, recipe=path, settings=settings)
    _check_pretrained(experiment)
    return experiment


def sweep_of(
    family: str, settings: Mapping[str, object], *, recipe: str = "", preset: str = ""
) -> tuple[Experiment, dict[str, object]]:
    """Returns the experiment that a sweep starts from, and the values of its section ``tuning``.

    Raises:
        ConfigError: A name is unknown, or a value is of the wrong type or out of range.
    """
    path = _recipe_path(family, recipe, preset)
    experiment, tuning = build_sweep(family, recipe=path, settings=settings)
    _check_pretrained(experiment)
    return experiment, tuning


def _recipe_path(family: str, recipe: str, preset: str) -> Path | None:
    if recipe and preset:
        raise ConfigError(f"recipe {recipe!r} and preset {preset!r} both name a recipe; give one")
    return preset_path(family, preset) if preset else Path(recipe) if recipe else None


def _check_pretrained(experiment: Experiment) -> None:
    """Checks the names of backbone and weights before a run or a study is created."""
    if not isinstance(experiment, TransferExperiment):
        return
    config, default = experiment.transfer, TransferConfig()
    if (config.backbone, config.weights) != (default.backbone, default.weights):
        from fer_mlops.models.backbones import check_pretrained  # loads torch

        check_pretrained(config.backbone, config.weights)
