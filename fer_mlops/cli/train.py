"""Training commands: in this process, or in several processes together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops.cli.commands import Command, with_options
from fer_mlops.cli.launch import (
    check_processes,
    first_speaks,
    is_first,
    known_to_launcher,
    launch,
    num_started,
)
from fer_mlops.cli.options import (
    BACKBONE,
    CNN_PRESET,
    EPOCHS,
    EXPERIMENT,
    FACES,
    FIT,
    IMAGE_SIZE,
    MINUTES,
    RUN,
    SETTINGS,
    TEACHER,
    WEIGHTS,
    build,
    build_timed,
    is_chosen,
)
from fer_mlops.cli.registry import promote_trained
from fer_mlops.cli.result import Result, with_json
from fer_mlops.errors import ConfigError, FerError, TrainingError
from fer_mlops.files import cache_folder
from fer_mlops.progress import Progress, no_progress

if TYPE_CHECKING:
    from fer_mlops.config import EpochExperiment, Experiment
    from fer_mlops.pipelines.time_budget import TimePlan


@click.command(
    cls=Command,
    examples=(
        "fer-mlops baseline --data faces/",
        "fer-mlops baseline --data faces/ --preset best --folds 5",
    ),
)
@with_options(*FACES, *SETTINGS, IMAGE_SIZE, *RUN)
@with_json()
def baseline(**options: Any) -> Result | None:
    """Train HOG features and a support vector machine."""
    return train("baseline", options)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops cnn --preset fast --data faces/",
        "fer-mlops cnn --epochs 5 --set training.loss=focal --set augment.rotation=20",
        "fer-mlops cnn --preset best --data faces/ --seeds 3",
    ),
)
@with_options(*FACES, *SETTINGS, IMAGE_SIZE, *FIT, MINUTES, TEACHER, *RUN)
@with_json()
def cnn(**options: Any) -> Result | None:
    """Train a network from scratch."""
    return train("cnn", options)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops transfer --preset best --data faces/",
        "fer-mlops transfer --backbone resnet50 --data faces/",
        "fer-mlops transfer --resume 0123456789abcdef0123456789abcdef",
    ),
)
@with_options(*FACES, *SETTINGS, BACKBONE, WEIGHTS, IMAGE_SIZE, *FIT, MINUTES, *RUN)
@with_json()
def transfer(**options: Any) -> Result | None:
    """Train a pretrained backbone.

    The head is trained first, on frozen features, then the whole network.
    """
    return train("transfer", options)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops ensemble --data faces/",
        "fer-mlops ensemble --preset fast --data faces/ --folds 5",
    ),
)
@with_options(*FACES, *SETTINGS, IMAGE_SIZE, *FIT, *RUN)
@with_json()
def ensemble(**options: Any) -> Result | None:
    """Train networks and fuse them with published ones.

    The published networks know expressions from other data and are not trained; fer-mlops weights get
    fetches them.
    """
    return train("ensemble", options)


@click.command(
    name="all",
    cls=Command,
    examples=("fer-mlops all --data faces/", "fer-mlops all --data faces/ --cnn-preset best"),
)
@with_options(*FACES, EPOCHS, CNN_PRESET, BACKBONE, WEIGHTS, EXPERIMENT)
@with_json()
def run_everything(cnn_preset: str, **options: Any) -> Result:
    """Train all three families and compare them."""
    experiments = suite_of(cnn_preset, **options)
    check_start(experiments[0])
    from fer_mlops.cli.output.scores import print_comparison
    from fer_mlops.cli.output.screen import print_next, print_view, progress_bars
    from fer_mlops.cli.output.training import print_registration, print_step
    from fer_mlops.pipelines.train_all import train_all  # loads torch
    from fer_mlops.training.devices import keep_heap

    keep_heap()
    with progress_bars() as progress:
        suite = train_all(experiments, cache_folder(), progress, print_step)
    print_comparison(suite.comparison)
    for trained in suite.trained:
        print_registration(trained)
    print_view(suite.trained[0].experiment_id)
    best = max(suite.trained, key=lambda trained: trained.valid.macro_f1.value)  # never by test scores
    promotion = promote_trained(best)
    print_next(*best.next_commands)
    return Result({**suite.as_dict(), "promotion": promotion}, lambda: None)


def suite_of(cnn_preset: str, **options: Any) -> list[Experiment]:
    """Returns the experiments of ``fer-mlops all``, one of each family.

    Raises:
        ConfigError: An option is invalid.
    """
    shared = {k: v for k, v in options.items() if k not in ("epochs", "backbone", "weights")}
    return [
        build("baseline", shared),
        build("cnn", {**shared, "epochs": options["epochs"], "preset": cnn_preset}),
        build("transfer", options),
    ]


def train(family: str, options: Mapping[str, Any]) -> Result | None:
    """Trains with the options of ``fer-mlops family``, prints and returns the result.

    Returns:
        The result; None in a process that is not the first, or that has started the first.

    Raises:
        FerError: Training failed; only the first of several processes raises it.
    """
    resume, seeds = options.get("resume") or "", options.get("seeds")
    asked = options.get("processes")
    num_processes = num_started() if asked is None else asked
    minutes, timed = options.get("minutes"), {}
    with first_speaks(FerError):  # report impossible options before anything starts
        if minutes is not None:
            timed = build_timed(minutes, family, options, num_processes)
        experiment = None if resume else next(iter(timed.values()), None) or build(family, options)
        repeats = experiment is not None and bool(seeds is not None or experiment.data.folds)
        check_processes(num_processes, family, repeats)
        if resume and seeds is not None:
            raise ConfigError("--resume continues one run, and --seeds starts several; give one")
        if experiment and seeds is not None:
            from fer_mlops.config.experiments import check_seeds

            check_seeds(experiment, seeds)
        if is_first():
            check_start(experiment)
    if experiment and repeats:
        return _train_repeats(experiment, seeds)
    if num_processes > num_started():  # this process starts the others, and trains nothing itself
        sys.exit(launch(sys.argv[1:], num_processes))
    from fer_mlops.processes import exit_with_parent
    from fer_mlops.training import distributed

    with first_speaks(TrainingError), distributed.process_group(num_processes):
        if num_processes > 1:
            exit_with_parent(os.getppid())
        return _train_here(family, experiment, options, timed)


def check_start(experiment: Experiment | None) -> None:
    """Checks the path of the data, then that runs can be stored, before torch is loaded.

    A resumed run has no experiment yet.

    Raises:
        DataError: There is no such data set or path; no store has been made.
        TrackingError: The tracking store cannot be used.
    """
    from fer_mlops.data.datasets import find_data
    from fer_mlops.tracking.store import check_store

    if experiment:
        find_data(experiment.data.source)
    check_store(experiment.tracking.experiment if experiment else None)


def _train_here(
    family: str,
    experiment: Experiment | None,
    options: Mapping[str, Any],
    timed: Mapping[str, EpochExperiment],
) -> Result | None:
    """Trains ``experiment``, or the one of ``timed`` that fits; resumes a run if it is None."""
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.cli.output.training import print_step, print_trained
    from fer_mlops.data.loading import prepare_data
    from fer_mlops.pipelines.train import assist_experiment, run_tracked
    from fer_mlops.training import distributed
    from fer_mlops.training.devices import keep_heap

    keep_heap()
    cache, state = cache_folder(), None
    preset = str(options["preset"]) if is_chosen(options.get("preset")) else ""
    facts: Mapping[str, str] = {}
    with progress_bars() if is_first() else nullcontext(no_progress) as progress:
        with distributed.main_process_first():  # it fills the cache that the others read
            if experiment is None:
                experiment, state = _resumed(family, options, cache)
            if timed:
                plan = _plan(options["minutes"], timed, cache, progress)
                experiment, data, preset, facts = plan.experiment, plan.data, plan.preset, plan.facts
            else:
                data = prepare_data(experiment, cache, progress)
        if not is_first():
            assist_experiment(experiment, data, resume_from=state)
            return None
        trained = run_tracked(
            experiment,
            data,
            progress=progress,
            on_step=partial(print_step, ""),
            preset=preset,
            facts=facts,
            resume=options.get("resume") or None,
            resume_from=state,
            around=known_to_launcher,
        )
    print_trained(trained)
    promotion = promote_trained(trained) if experiment.tracking.auto_promote else None
    return Result({**trained.as_dict(), "promotion": promotion}, lambda: None)


def _plan(
    minutes: float, timed: Mapping[str, EpochExperiment], cache: Path, progress: Progress
) -> TimePlan:
    """Returns the plan for the minutes since this process started, after printing it."""
    import psutil

    from fer_mlops.cli.output.screen import console
    from fer_mlops.pipelines.time_budget import plan_minutes

    plan = plan_minutes(minutes, timed, psutil.Process().create_time(), cache, progress)
    console.print(plan.sentence)
    return plan


def _resumed(family: str, options: Mapping[str, Any], cache: Path) -> tuple[Experiment, dict[str, Any]]:
    """Returns the experiment and the checkpoint of the run that ``--resume`` names."""
    from fer_mlops.pipelines.experiments import resumed_experiment
    from fer_mlops.pipelines.run_checkpoint import checkpoint_of

    # locked before the run changes; by the first process only, as the others read the file too
    state = checkpoint_of(options["resume"], cache, locks=is_first())
    experiment = resumed_experiment(options["resume"], state, build(family, options))
    if is_first():
        check_start(experiment)
    return experiment, state


def _train_repeats(experiment: Experiment, seeds: int | None) -> Result:
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.cli.output.training import print_repetition, print_step
    from fer_mlops.pipelines.cross_validate import cross_validate, repeat_seeds
    from fer_mlops.training.devices import keep_heap

    keep_heap()
    with progress_bars() as progress:
        if seeds is None:
            done = cross_validate(experiment, cache_folder(), progress, print_step)
        else:
            done = repeat_seeds(experiment, seeds, cache_folder(), progress, print_step)
    return Result(done, lambda: print_repetition(done))
