"""Experiments from a recipe or preset and settings, for the command line and for Python."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fer_mlops.config import (
    EnsembleExperiment,
    EpochExperiment,
    Experiment,
    TransferConfig,
    TransferExperiment,
)
from fer_mlops.config.recipes import (
    Tree,
    build_experiment,
    build_sweep,
    experiment_from_json,
    flatten,
    preset_path,
    recipe_tree,
)
from fer_mlops.errors import ConfigError, no_such


def experiment_of(
    family: str, settings: Mapping[str, object], *, recipe: str = "", preset: str = ""
) -> Experiment:
    """Returns the experiment of a recipe or preset with ``settings``, by dotted key, applied.

    ``recipe`` is a YAML file, or a run: ``runs:/<id>`` or its ID. Of a study's run, the winner's
    settings apply.

    Raises:
        ConfigError: A name is unknown, or a value is of the wrong type or out of range.
        ModelError: There is no such run, or it has no settings.
        TrackingError: The tracking store cannot be used.
    """
    start = _recipe(family, recipe, preset)
    experiment = build_experiment(family, recipe=start, settings=settings)
    _check_pretrained(experiment)
    return experiment


_PRESETS = ("best", "fast")
"""Presets that a time budget chooses from, the most thorough first."""
_NOT_TIMED = {
    "epochs": "minutes chooses the number of epochs",
    "folds": "minutes plans one training, and folds start several",
    "seeds": "minutes plans one training, and seeds start several",
    "processes": "minutes plans one process",
    "resume": "a resumed run keeps its number of epochs",
    "teacher": "the time of a teacher's predictions is not known beforehand",
}


def timed_experiments(
    minutes: float,
    family: str,
    settings: Mapping[str, object],
    *,
    recipe: str = "",
    preset: str = "",
    **others: object,
) -> dict[str, EpochExperiment]:
    """Returns the experiments that may fill ``minutes``, by preset, the most thorough first.

    They are the presets ``best`` and ``fast``, or the one of ``recipe`` or ``preset``. ``others`` are
    options of the call that are no settings. Other arguments and errors are those of ``experiment_of``.

    Raises:
        ConfigError: The minutes are not positive, or do not go with the family or another option.
    """
    if not 0 < minutes < math.inf:
        raise ConfigError(f"minutes must be more than 0, got {minutes:g}")
    if family not in ("cnn", "transfer"):
        raise ConfigError(f"minutes works for cnn and transfer, not {family}")
    names = [preset] if recipe or preset else _PRESETS
    timed: dict[str, EpochExperiment] = {}
    for name in names:
        experiment = experiment_of(family, settings, recipe=recipe, preset=name)
        assert isinstance(experiment, EpochExperiment)
        timed[name] = experiment
    first = next(iter(timed.values()))
    given = {
        **others,
        "epochs": "training.epochs" in settings,
        "folds": first.data.folds,
        "teacher": first.training.teacher,
    }
    for name, reason in _NOT_TIMED.items():
        if given.get(name):
            raise ConfigError(f"minutes and {name} do not go together: {reason}; leave one out")
    return timed


def sweep_of(
    family: str, settings: Mapping[str, object], *, recipe: str = "", preset: str = ""
) -> tuple[Experiment, dict[str, object]]:
    """Returns the experiment that a sweep starts from, and the values of its section ``tuning``.

    Arguments and errors are those of ``experiment_of``.
    """
    start = _recipe(family, recipe, preset)
    experiment, tuning = build_sweep(family, recipe=start, settings=settings)
    _check_pretrained(experiment)
    return experiment, tuning


def resumed_experiment(run_id: str, state: Mapping[str, Any], requested: Experiment) -> Experiment:
    """Returns the checkpoint's experiment; a request may repeat its settings but not change them.

    Raises:
        ConfigError: The run belongs to another family, an option differs from the run's setting, or a
            setting that the run used was removed.
    """
    experiment, family = experiment_from_json(state["settings"]), requested.family
    if experiment.family != family:
        raise ConfigError(f"run {run_id} is a {experiment.family} run, not {family}")
    chosen, default, own = map(flatten, (requested, build_experiment(family), experiment))
    for key, value in chosen.items():
        if value not in (default[key], own[key]):
            raise ConfigError(
                f"run {run_id} resumes with its own {key}, {own[key]}, not {value}; leave that option "
                "out, or start a new run"
            )
    return experiment


def _recipe(family: str, recipe: str, preset: str) -> Path | Tree | None:
    """Returns the file that a recipe or preset names, or the settings of the run that a recipe names."""
    if recipe and preset:
        raise ConfigError(f"recipe {recipe!r} and preset {preset!r} both name a recipe; give one")
    # a file of that name goes before a run
    if re.fullmatch(r"runs:/\w+|[0-9a-f]{32}", recipe) and not Path(recipe).exists():
        return _recipe_of_run(family, recipe.removeprefix("runs:/"))
    return preset_path(family, preset) if preset else Path(recipe) if recipe else None


def _recipe_of_run(family: str, run_id: str) -> Tree:
    from fer_mlops.tracking.queries import get_run, load_run_config  # loads MLflow
    from fer_mlops.tracking.store import check_store

    check_store()
    winner = get_run(run_id).data.tags.get("winner_run")  # a study's run has the first settings
    experiment = load_run_config(winner or run_id, to_repeat=True)
    if experiment.family != family:
        raise ConfigError(f"run {run_id} is a {experiment.family} run, not {family}")
    return recipe_tree(experiment)


def _check_pretrained(experiment: Experiment) -> None:
    """Checks names and presence of published weights before a run or a study is created."""
    if isinstance(experiment, EnsembleExperiment):
        from fer_mlops.models.experts import check_experts  # loads torch

        check_experts(experiment.ensemble.experts)
    if not isinstance(experiment, TransferExperiment):
        return
    config, default = experiment.transfer, TransferConfig()
    weights = Path(config.weights).expanduser()
    if weights.suffix and not weights.exists():  # a name has no suffix
        raise ConfigError(f"transfer.weights: {no_such('file', weights)}")
    # the defaults need no check, and loading torch takes seconds
    if (config.backbone, config.weights) != (default.backbone, default.weights):
        from fer_mlops.models.backbones import check_pretrained  # loads torch

        check_pretrained(config.backbone, config.weights)
