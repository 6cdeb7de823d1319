"""Command ``tune``: its options and its output."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops.cli.options import (
    COMMON,
    FIT,
    FLOAT,
    INT,
    PROMOTE,
    READING,
    SECTIONS,
    SIZE,
    TRANSFER,
    build,
    is_chosen,
    with_options,
)
from fer_mlops.cli.registry import promote_trained
from fer_mlops.cli.train import check_tracking
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.tuning.config import Plan
    from fer_mlops.tuning.study_records import TrialRecord
    from fer_mlops.tuning.tune import Sweep

_FINALISTS = 2
"""Default number of finalists; the study's initial settings are added to them."""
_CHOICES = (
    click.option(
        "--trials", type=int, default=20, show_default=True, help="Number of trials in the study."
    ),
    click.option("--timeout", type=FLOAT, default="auto", help="Minutes after which no trial starts."),
    click.option("--study", default="", help="Study name; an existing study is continued."),
    click.option(
        "--storage",
        default="sqlite:///optuna.db",
        show_default=True,
        help="Database of the study, as an SQLAlchemy URL.",
    ),
    click.option(
        "--workers", type=int, default=1, show_default=True, help="Worker processes on this machine."
    ),
    click.option(
        "--sampler",
        type=click.Choice(["tpe", "gp", "cmaes", "random", "grid"]),
        default="tpe",
        show_default=True,
        help="Optuna sampler that chooses the settings.",
    ),
    click.option(
        "--pruner",
        type=click.Choice(["halving", "median", "hyperband", "none"]),
        default="halving",
        show_default=True,
        help="Optuna pruner that stops poor trials early.",
    ),
    click.option(
        "--space",
        default="",
        help="YAML file of the search space (default: experiments/tune-FAMILY.yaml).",
    ),
    click.option(
        "--objective",
        default="valid/macro_f1",
        show_default=True,
        help="Validation metric to optimise.",
    ),
    click.option(
        "--direction",
        type=click.Choice(["auto", "maximize", "minimize"]),
        default="auto",
        help="Maximise or minimise the objective; auto minimises only a loss.",
    ),
    click.option(
        "--folds",
        type=INT,
        default="auto",
        help="Evaluate each trial on this many folds of train and valid.",
    ),
    click.option(
        "--seeds", type=INT, default="auto", help="Fits per trial; the trial's value is their mean."
    ),
    click.option(
        "--finalists",
        type=INT,
        default="auto",
        help="Best trials to fit again on folds before choosing the winner; auto: 2, or 0 with --folds "
        "or a teacher.",
    ),
    click.option(
        "--latency-budget",
        type=FLOAT,
        default="auto",
        help="Longest latency per face, in milliseconds.",
    ),
    click.option(
        "--max-failures",
        type=int,
        default=5,
        show_default=True,
        help="Stop after this many failed trials in a row.",
    ),
    click.option(
        "--heartbeat",
        type=int,
        default=20,
        show_default=True,
        help="Seconds between heartbeats; a worker that misses three counts as dead.",
    ),
    click.option(
        "--first-trial",
        type=click.Choice(["recipe", "sampler"]),
        default="recipe",
        show_default=True,
        help="Settings of the first trial: the recipe's own, or the sampler's choice.",
    ),
)


@click.command()
@click.argument("family", type=click.Choice(list(SECTIONS)), default="cnn")
@with_options(*_CHOICES, *COMMON, *READING, *SIZE, *FIT, *TRANSFER, *PROMOTE)
def tune(family: str, **options: Any) -> None:
    """Search settings of FAMILY with Optuna, then train and test the winner.

    To share the work, run the same command on other machines with the same --study and --storage.
    """
    from fer_mlops.cli.output.screen import print_view, progress_bars
    from fer_mlops.cli.output.training import print_trained

    plan = _plan(family, options)
    check_tracking(plan.experiment)
    from fer_mlops.training.memory import keep_heap
    from fer_mlops.tuning.tune import tune as search  # loads torch

    keep_heap()
    with progress_bars() as progress:
        sweep = search(plan, cache=cache_folder(), progress=progress, on_trial=_print_trial)
    if sweep is None:
        click.echo(
            f"the time limit is reached; other processes continue study {plan.study_name} and train its "
            "winner"
        )
        return
    _print_sweep(sweep, plan)
    if sweep.winner:
        print_trained(sweep.winner)
        if plan.experiment.tracking.auto_promote:
            promote_trained(sweep.winner)
    else:
        click.echo(f"the winner was already trained, in run {sweep.winner_run}")
        print_view(sweep.experiment_id)


def _plan(family: str, options: dict[str, Any]) -> Plan:
    from fer_mlops.tuning.config import Plan, has_teacher
    from fer_mlops.tuning.search_space import default_space, read_space

    names = ("folds", "seeds", "finalists", "latency_budget")
    asked = {name: value for name in names if (value := options.pop(name)) is not None}
    space, minutes, study = (options.pop(name) for name in ("space", "timeout", "study"))
    if family != "transfer":
        options = {k: v for k, v in options.items() if k not in ("backbone", "weights")}
    experiment = build(family, options)
    chosen_space = read_space(Path(space) if is_chosen(space) else default_space(family), experiment)
    has_none = asked.get("folds") or has_teacher(experiment, chosen_space)
    asked.setdefault("finalists", 0 if has_none else _FINALISTS)
    if minutes is not None:
        asked["minutes"] = minutes
    return Plan(
        experiment=experiment,
        space=chosen_space,
        study_name=study if is_chosen(study) else family,
        storage_url=options["storage"],
        num_trials=options["trials"],
        num_workers=options["workers"],
        sampler=options["sampler"],
        pruner=options["pruner"],
        objective=options["objective"],
        asked_direction=options["direction"],
        max_failures=options["max_failures"],
        heartbeat=options["heartbeat"],
        first_trial=options["first_trial"],
        **asked,
    )


def _print_trial(trial: TrialRecord, best: TrialRecord | None, reason: str) -> None:
    from fer_mlops.cli.output.screen import console

    value = "" if trial.value is None else f"  {trial.value:.4f}"
    steps = f"  {trial.num_steps} steps" if trial.num_steps else ""
    line = f"trial {trial.number:3}  {trial.state:11}{value}{steps}"
    if best is not None and best.value is not None:
        line += f"  best {best.value:.4f} of trial {best.number}"
    console.print(f"{line}  {reason}" if reason else line, markup=False)


def _print_sweep(sweep: Sweep, plan: Plan) -> None:
    from fer_mlops.tuning.search_space import shown

    click.echo(
        f"study {sweep.study_name}: {sweep.num_trials} trials, best {plan.objective} "
        f"{sweep.best_value:.4f} of trial {sweep.best_trial}"
    )
    for place, finalist in enumerate(sweep.finalists):
        click.echo(
            f"{'  winner:' if not place else '         '} {finalist.name}, {finalist.trial.value:.4f}; "
            f"over {len(finalist.values)} folds {finalist.summary}"
        )
    for key, value in sweep.winner_settings.items():
        click.echo(f"  {key}: {shown(value)}")
