"""Training from Python: ``fer_mlops.train``."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from fer_mlops.config import Experiment
from fer_mlops.config.experiments import check_seeds
from fer_mlops.config.options import settings_of
from fer_mlops.errors import ConfigError
from fer_mlops.pipelines.experiments import experiment_of, resumed_experiment, timed_experiments
from fer_mlops.pipelines.session import session
from fer_mlops.pipelines.trained_run import Run
from fer_mlops.progress import Progress

if TYPE_CHECKING:
    from fer_mlops.pipelines.cross_validate import Repetition
    from fer_mlops.pipelines.train import Trained


@overload
def train(
    data: str | Path = ...,
    *,
    folds: None = ...,
    seeds: None = ...,
    resume: str = ...,
    minutes: float = ...,
    **options: Any,
) -> Run: ...
@overload
def train(data: str | Path = ..., *, folds: int, **options: Any) -> Repetition: ...
@overload
def train(data: str | Path = ..., *, seeds: int, **options: Any) -> Repetition: ...
def train(
    data: str | Path = "sample",
    *,
    family: str = "cnn",
    preset: str = "",
    recipe: str | Path = "",
    settings: Mapping[str, object] | None = None,
    folds: int | None = None,
    seeds: int | None = None,
    resume: str = "",
    minutes: float | None = None,
    track: bool = True,
    progress: Progress | None = None,
    **options: Any,
) -> Run | Repetition:
    """Trains, evaluates, explains and registers one model, as ``fer-mlops FAMILY`` does.

    Changes nothing in the process: environment, signal handlers, threads and random generators are as
    before. After Ctrl-C the run is KILLED; ``resume`` continues it.

    Args:
        data: ``sample``, a folder with one subfolder per emotion, a csv file, or a data set's folder.
        family: ``baseline``, ``cnn`` or ``transfer``.
        preset: Name of one of the project's recipes, such as ``fast``.
        recipe: YAML file of settings, or a run whose settings apply: ``runs:/<id>``.
        settings: Values by dotted key, such as ``{"training.loss": "focal"}``; override the recipe.
        folds: Number of folds to cross-validate with; no model is registered.
        seeds: Number of seeds to train with, from ``seed`` on; no model is registered.
        resume: ID of a stopped run to continue with its own settings.
        minutes: Time that the call is to take on this machine; it chooses preset and epochs of ``cnn``
            or ``transfer``.
        track: Whether to store the run and register the model in MLflow.
        progress: Called at the start of each stage; by default bars in a notebook, and lines on standard
            error elsewhere. ``fer_mlops.progress.no_progress`` shows nothing.
        options: Options of the command (``epochs=3``, ``batch_size``, ``learning_rate``, ``image_size``,
            ``seed``, ``split``, ``backbone``, ``teacher``, ``experiment``, …) or settings with two
            underscores for the dot (``training__loss="focal"``); override ``settings``.

    Returns:
        The run; with ``folds`` or ``seeds`` the scores of all runs, ``repeats``, and each run's result.

    Raises:
        ConfigError: A name is unknown, a value is of the wrong type or out of range, or an option
            differs from the settings of the run to resume.
        DataError: The faces cannot be read or split.
        WeightsError: Pretrained weights are unavailable.
        TrainingError: Training cannot continue, or there is no checkpoint of the run to resume.
        TrackingError: The tracking store cannot be used.
    """
    named = {"data": str(data), "folds": folds, **options}
    chosen = {**(settings or {}), **settings_of(family, named)}
    started, start, timed = time.time(), {"recipe": str(recipe), "preset": preset}, {}
    if minutes is not None:
        timed = timed_experiments(minutes, family, chosen, **start, seeds=seeds, resume=resume)
    experiment = next(iter(timed.values()), None) or experiment_of(family, chosen, **start)
    _check(experiment, seeds, resume, track)
    state: dict[str, Any] | None = None
    if resume:
        # a session without a store, as the checkpoint says which MLflow experiment the run belongs to
        with session(progress) as here:
            from fer_mlops.pipelines.run_checkpoint import checkpoint_of  # loads torch

            state = checkpoint_of(resume, here.cache)
        experiment = resumed_experiment(resume, state, experiment)
    with session(progress, experiment.tracking.experiment if track else None) as here:
        from fer_mlops.data.loading import prepare_data
        from fer_mlops.pipelines.cross_validate import cross_validate, repeat_seeds
        from fer_mlops.pipelines.time_budget import plan_minutes
        from fer_mlops.pipelines.train import run_experiment, run_tracked

        if seeds is not None:
            return repeat_seeds(experiment, seeds, here.cache, here.progress, here.on_step)
        if experiment.data.folds and not resume:
            return cross_validate(experiment, here.cache, here.progress, here.on_step)
        facts: Mapping[str, str] = {}
        if minutes is not None:
            plan = plan_minutes(minutes, timed, started, here.cache, here.progress)
            experiment, faces, preset, facts = plan.experiment, plan.data, plan.preset, plan.facts
        else:
            faces = prepare_data(experiment, here.cache, here.progress)
        train_one: Callable[..., Trained] = run_experiment
        if track:
            train_one = partial(run_tracked, preset=preset, resume=resume or None, resume_from=state)
        on_step = partial(here.on_step, "")
        trained = train_one(experiment, faces, progress=here.progress, on_step=on_step, facts=facts)
    run = Run(trained)
    if experiment.tracking.auto_promote:
        run.promote_unless_champion(progress=progress)
    return run


def _check(experiment: Experiment, seeds: int | None, resume: str, track: bool) -> None:
    """Raises ConfigError if the options do not go together."""
    if seeds is not None:
        check_seeds(experiment, seeds)
    needs_mlflow = {
        "auto_promote": experiment.tracking.auto_promote,
        "resume": resume,
        "folds": experiment.data.folds,
        "seeds": seeds,
    }
    for name, value in needs_mlflow.items():
        if value and not track:
            raise ConfigError(f"{name} needs MLflow; train with track=True")
    if resume and seeds is not None:
        raise ConfigError("resume continues one run, and seeds starts several; give one")
