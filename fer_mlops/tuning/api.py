"""Tuning from Python: ``fer_mlops.tune``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fer_mlops.config.options import settings_of
from fer_mlops.pipelines.experiments import sweep_of
from fer_mlops.pipelines.session import session
from fer_mlops.progress import Progress

if TYPE_CHECKING:
    from fer_mlops.tuning.tune import Sweep


def tune(
    data: str | Path = "sample",
    *,
    family: str = "cnn",
    preset: str = "",
    recipe: str | Path = "",
    settings: Mapping[str, object] | None = None,
    space: str | Path = "",
    study: str = "",
    storage: str = "sqlite:///optuna.db",
    folds: int | None = None,
    seeds: int | None = None,
    progress: Progress | None = None,
    **options: object,
) -> Sweep | None:
    """Searches settings with Optuna and trains the winner, as ``fer-mlops tune`` does.

    Args:
        data: As in ``train``.
        family: ``baseline``, ``cnn`` or ``transfer``.
        preset: Name of one of the project's recipes, such as ``fast``.
        recipe: YAML file of settings, or a run whose settings apply: ``runs:/<id>``.
        settings: Values by dotted key, such as ``{"tuning.sampler": "gp"}``; override the recipe.
        space: YAML file of the search space; by default the family's.
        study: Study name, by default the family's; an existing study is continued.
        storage: Database of the study, as an SQLAlchemy URL.
        folds: Evaluate each trial on this many folds of train and valid.
        seeds: Fits per trial; its value is their mean.
        progress: Called at the start of each stage; by default bars in a notebook, and lines on standard
            error elsewhere. ``fer_mlops.progress.no_progress`` shows nothing.
        options: Options of the command (``trials=20``, ``timeout``, ``workers``, ``objective``)
            and of ``train``.

    Returns:
        Result; ``run`` is the winner. None if time ran out while other processes continue the study.

    Raises:
        ConfigError: A name or value is invalid, or the study exists with other settings.
        DataError: The faces cannot be read or split.
        TrackingError: The tracking store or the study's storage cannot be used.
        TrainingError: No trial was complete, or too many failed in a row.
    """
    from fer_mlops.tuning.config import plan_of

    given = {"data": str(data), "folds": folds, "seeds": seeds, **options}
    named = settings_of(family, given, is_sweep=True)
    experiment, tuning = sweep_of(
        family, {**(settings or {}), **named}, recipe=str(recipe), preset=preset
    )
    plan = plan_of(
        experiment, tuning, space=Path(space) if space else None, study=study, storage=storage
    )
    with session(progress, experiment.tracking.experiment) as here:
        import optuna

        from fer_mlops.tuning.tune import tune as search  # loads torch

        verbosity = optuna.logging.get_verbosity()
        try:
            sweep = search(plan, cache=here.cache, progress=here.progress)
        finally:
            optuna.logging.set_verbosity(verbosity)
    if sweep and sweep.run and experiment.tracking.auto_promote:
        sweep.run.promote_unless_champion(progress=progress)
    return sweep
