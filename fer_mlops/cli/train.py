"""Training commands: train in this process, or in several processes together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from fer_mlops.cli.launch import (
    check_processes,
    first_speaks,
    is_first,
    launch,
    num_started,
    tell_run,
    unwinding_undisturbed,
)
from fer_mlops.cli.options import build, build_resumed
from fer_mlops.cli.registry import promote_trained
from fer_mlops.errors import ConfigError, FerError, TrainingError
from fer_mlops.files import cache_folder
from fer_mlops.progress import no_progress

if TYPE_CHECKING:
    from fer_mlops.config import Experiment
    from fer_mlops.data.loading import Data
    from fer_mlops.progress import Progress


def train(family: str, options: Mapping[str, Any]) -> None:
    """Trains with the options of ``fer-mlops family`` and prints the result.

    Raises:
        FerError: Training failed; only the first of several processes raises it.
    """
    resume, seeds = bool(options.get("resume")), options.get("seeds")
    asked = options.get("processes")
    num_processes = num_started() if asked is None else asked
    with first_speaks(FerError):  # report impossible options before anything starts
        experiment = None if resume else build(family, options)
        repeats = experiment is not None and bool(seeds is not None or experiment.data.folds)
        check_processes(num_processes, family, repeats)
        if resume and seeds is not None:
            raise ConfigError("--resume continues one run, and --seeds starts several; give one")
    if experiment and repeats:
        _train_repeats(experiment, seeds)
    elif num_processes > num_started():
        sys.exit(launch(sys.argv[1:], num_processes))
    else:
        from fer_mlops.processes import exit_with_parent
        from fer_mlops.training import distributed

        with first_speaks(TrainingError), distributed.process_group(num_processes):
            if num_processes > 1:
                exit_with_parent(os.getppid())
            _train_here(family, options)


def _train_here(family: str, options: Mapping[str, Any]) -> None:
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.cli.output.training import print_step, print_trained
    from fer_mlops.tracking.runs import track
    from fer_mlops.training.checkpoints import checkpoint_path
    from fer_mlops.training.memory import keep_heap

    keep_heap()
    with progress_bars() if is_first() else nullcontext(no_progress) as progress:
        experiment, data, state = _prepare(family, options, progress)
        from fer_mlops.pipelines.train import assist_experiment, run_experiment  # slow to import

        if not is_first():
            assist_experiment(experiment, data, resume_from=state)
            return
        with (
            track(
                experiment.tracking.experiment,
                f"{family}-{data.table.name}-{data.split.kind}",
                resume=options.get("resume") or None,
                system_metrics=experiment.tracking.system_metrics,
            ) as tracker,
            unwinding_undisturbed(),
        ):
            tell_run(tracker.run_id)
            trained = run_experiment(
                experiment,
                data,
                tracker,
                progress=progress,
                on_step=print_step,
                checkpoint=checkpoint_path(cache_folder(), tracker.run_id),
                resume_from=state,
            )
    print_trained(trained)
    if experiment.tracking.auto_promote:
        promote_trained(trained, experiment.tracking.experiment)


def _prepare(
    family: str, options: Mapping[str, Any], progress: Progress
) -> tuple[Experiment, Data, dict[str, Any] | None]:
    """Returns the experiment, its data, and the checkpoint to resume from.

    Only the first process reports errors.
    """
    from fer_mlops.pipelines.run_checkpoint import read_kept
    from fer_mlops.tracking.store import check_store
    from fer_mlops.training import distributed
    from fer_mlops.training.checkpoints import checkpoint_path, claim

    resume = options.get("resume") or None
    state = None
    with distributed.main_process_first():
        if resume:
            path = checkpoint_path(cache_folder(), resume)
            with claim(path) if is_first() else nullcontext():  # lock it before the run changes
                state = read_kept(path)
        experiment = build_resumed(family, options, state) if state else build(family, options)
        check_store(experiment.tracking.experiment)
        from fer_mlops.data.loading import prepare_data  # slow to import, so after the checks

        return experiment, prepare_data(experiment, cache_folder(), progress), state


def _train_repeats(experiment: Experiment, seeds: int | None) -> None:
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.cli.output.training import print_repetition
    from fer_mlops.pipelines.cross_validate import check_seeds, cross_validate, repeat_seeds
    from fer_mlops.tracking.store import check_store
    from fer_mlops.training.memory import keep_heap

    keep_heap()
    if seeds is not None:
        check_seeds(experiment, seeds)
    check_store(experiment.tracking.experiment)
    with progress_bars() as progress:
        if seeds is None:
            done = cross_validate(experiment, cache_folder(), progress)
        else:
            done = repeat_seeds(experiment, seeds, cache_folder(), progress)
    print_repetition(done)
