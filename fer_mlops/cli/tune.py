"""Command ``tune``: its options and its output."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops.cli.commands import Choice, Command, option, with_options
from fer_mlops.cli.options import (
    AUTO_PROMOTE,
    BACKBONE,
    DATA,
    EPOCHS,
    EXPERIMENT,
    FLOAT,
    IDENTITIES,
    IMAGE_SIZE,
    INT,
    SECTIONS,
    SEED,
    SETTINGS,
    SPLIT,
    build_sweep,
    is_chosen,
)
from fer_mlops.cli.registry import promote_trained
from fer_mlops.cli.result import Result, with_json
from fer_mlops.cli.train import check_start
from fer_mlops.errors import ConfigError
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.tuning.config import Plan
    from fer_mlops.tuning.study import TrialRecord
    from fer_mlops.tuning.tune import Sweep

_SEARCH = (
    option(
        "--trials",
        type=INT,
        default="auto",
        section="Search",
        help="Number of trials in the study (default: 20).",
    ),
    option("--timeout", type=FLOAT, default="auto", help="Minutes after which no trial starts."),
    option(
        "--study",
        default="",
        metavar="NAME",
        help="Study; an existing one is continued (default: FAMILY).",
    ),
    option(
        "--storage",
        default="sqlite:///optuna.db",
        show_default=True,
        metavar="URL",
        help="Database of the study.",
    ),
    option("--workers", type=INT, default="auto", help="Worker processes on this machine (default: 1)."),
    option(
        "--space",
        default="",
        metavar="FILE",
        help="YAML file of the search space (default: experiments/tune-FAMILY.yaml).",
    ),
    option(
        "--objective",
        default="auto",
        metavar="METRIC",
        help="Validation metric to optimise (default: valid/macro_f1).",
    ),
    option(
        "--folds",
        type=INT,
        default="auto",
        help="Evaluate each trial on this many folds of train and valid.",
    ),
    option("--seeds", type=INT, default="auto", help="Fits per trial; its value is their mean."),
)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops tune cnn --preset fast --trials 40 --data faces/",
        "fer-mlops tune cnn --workers 2 --set tuning.sampler=gp --set tuning.latency_budget=5",
        "fer-mlops tune transfer --study faces --storage postgresql://optuna@db/optuna",
    ),
)
@click.argument("family", type=Choice(list(SECTIONS)), default="cnn", metavar="[FAMILY]")
@with_options(
    *_SEARCH,
    *(DATA, SPLIT, SEED, IDENTITIES),
    *SETTINGS,
    *(EPOCHS, IMAGE_SIZE, BACKBONE),
    *(EXPERIMENT, AUTO_PROMOTE),
)
@with_json()
def tune(family: str, **options: Any) -> Result:
    """Search settings with Optuna, train the winner.

    FAMILY is cnn (default), transfer or baseline. Set sampler, pruner, finalists and limits with --set
    tuning.KEY=VALUE (docs/tuning.md). Machines with the same --study and --storage share the work.
    """
    plan = plan_of(family, **options)
    check_start(plan.experiment)
    from fer_mlops.cli.output.screen import print_view, progress_bars
    from fer_mlops.cli.output.training import print_trained
    from fer_mlops.training.devices import keep_heap
    from fer_mlops.tuning.tune import tune as search  # loads torch

    keep_heap()
    on_trial = partial(_print_trial, "training sets" if family == "baseline" else "epochs")
    with progress_bars() as progress:
        sweep = search(plan, cache=cache_folder(), progress=progress, on_trial=on_trial)
    if sweep is None:
        return Result(None, lambda: _print_time_is_up(plan))
    _print_sweep(sweep, plan)
    recipe, promotion = _write_recipe(sweep), None
    if sweep.winner:
        print_trained(sweep.winner)
        if plan.experiment.tracking.auto_promote:
            promotion = promote_trained(sweep.winner)
    else:
        click.echo(f"the winner was already trained, in run {sweep.winner_run}")
        print_view(sweep.experiment_id)
    click.echo(f"Again:    fer-mlops {family} --recipe {recipe}")
    return Result({**sweep.as_dict(), "promotion": promotion}, lambda: None)


def _write_recipe(sweep: Sweep) -> str:
    """Writes the winner's recipe to the current folder; returns what ``--recipe`` takes for it."""
    name = re.sub(r"[^-.\w]+", "-", sweep.study_name)
    path = Path(f"winner-{name}.yaml")
    try:
        path.write_text(sweep.winner_recipe, encoding="utf-8")
    except OSError:  # the study's run has it
        return f"runs:/{sweep.run_id}"
    return str(path)


def _print_time_is_up(plan: Plan) -> None:
    from fer_mlops.cli.output.screen import print_next

    click.echo(
        f"the time limit is reached; other processes continue study {plan.study_name} and train its "
        "winner"
    )
    print_next("the same command continues the study")


def plan_of(family: str, **options: Any) -> Plan:
    """Returns the plan of the search that the options describe.

    Raises:
        ConfigError: An option is invalid.
    """
    from fer_mlops.tuning.config import plan_of as make_plan

    if family != "transfer" and is_chosen(options["backbone"]):
        raise ConfigError(f"--backbone is for transfer; {family} has none, got {options['backbone']!r}")
    experiment, tuning = build_sweep(family, options)
    space, study = options["space"], options["study"]
    return make_plan(
        experiment,
        tuning,
        space=Path(space) if is_chosen(space) else None,
        study=study if is_chosen(study) else "",
        storage=options["storage"],
    )


def _print_trial(unit: str, trial: TrialRecord, best: TrialRecord | None, reason: str) -> None:
    from fer_mlops.cli.output.screen import console

    value = "" if trial.value is None else f"  {trial.value:.4f}"
    steps = f"  {trial.num_steps} {unit}" if trial.num_steps else ""
    line = f"trial {trial.number:3}  {trial.state:11}{value}{steps}"
    if best is not None and best.value is not None:
        line += f"  best {best.value:.4f} of trial {best.number}"
    console.print(f"{line}  {reason}" if reason else line, markup=False)


def _print_sweep(sweep: Sweep, plan: Plan) -> None:
    from fer_mlops.tuning.search_space import shown

    click.echo(
        f"study {sweep.study_name}: {sweep.num_trials} trials, best {plan.tuning.objective} "
        f"{sweep.best_value:.4f} of trial {sweep.best_trial}"
    )
    for place, finalist in enumerate(sweep.finalists):
        click.echo(
            f"{'  winner:' if not place else '         '} {finalist.name}, {finalist.trial.value:.4f}; "
            f"over {len(finalist.values)} folds {finalist.summary}"
        )
    for key, value in sweep.winner_settings.items():
        click.echo(f"  {key}: {shown(value)}")
