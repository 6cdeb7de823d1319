"""Commands for registered versions: promote, rollback, registry."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_mlops.cli.commands import Command, Group
from fer_mlops.cli.options import DATA_HELP, INT, is_chosen
from fer_mlops.errors import printable
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.data.loading import Data
    from fer_mlops.pipelines.promote import Decision
    from fer_mlops.pipelines.train import Trained


@click.command(
    cls=Command,
    examples=("fer-mlops promote", "fer-mlops promote --version 3 --data other/"),
)
@click.option("--version", type=INT, default="auto", help="Version number (default: the challenger).")
@click.option(
    "--run", "run_id", default="", metavar="RUN_ID", help="Promote the version registered by this run."
)
@click.option(
    "--gate",
    default="",
    metavar="FILE",
    help="YAML file of gate rules (default: experiments/gate.yaml).",
)
@click.option("--data", default="auto", help=f"Evaluate on all faces of: {DATA_HELP}")
@click.option("--experiment", default="fer_mlops", show_default=True, help="MLflow experiment.")
def promote(version: int | None, run_id: str, gate: str, data: str, experiment: str) -> None:
    """Make a version champion if it passes the gate.

    If it does not pass, the exit status is 1.
    """
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import find_candidate

    check_store(experiment)
    number = find_candidate(version, run_id if is_chosen(run_id) else "")
    rules = Path(gate) if is_chosen(gate) else None
    decision = through_the_gate(number, experiment, rules, data if is_chosen(data) else None)
    if not decision.is_promoted:
        sys.exit(1)


def through_the_gate(
    version: int,
    experiment: str,
    rules: Path | None = None,
    source: str | None = None,
    data: Data | None = None,
) -> Decision:
    """Runs the gate for a version in a separate run and prints the decision."""
    from fer_mlops.cli.output.screen import print_view, progress_bars
    from fer_mlops.cli.output.versions import print_decision
    from fer_mlops.config.promotion import gate_file, read_rules
    from fer_mlops.pipelines.promote import promote
    from fer_mlops.tracking.runs import track

    limits = read_rules(rules or gate_file())
    with track(experiment, f"promote v{version}") as tracker:
        with progress_bars() as progress:
            decision = promote(
                version, limits, tracker, cache_folder(), source=source, data=data, progress=progress
            )
        print_decision(decision)  # first: it is final even if the run cannot be closed
    print_view(tracker.experiment_id)
    return decision


def promote_trained(trained: Trained) -> None:
    """Runs the gate for the version that training registered, unless it is champion already.

    The gate loads the version from the registry, as others will; it does not read the data again.
    """
    made = trained.registration
    if made and not made.is_champion:
        through_the_gate(made.version, trained.experiment.tracking.experiment, data=trained.data)


@click.command(cls=Command, examples=("fer-mlops rollback",))
def rollback() -> None:
    """Make the previous champion champion again."""
    from fer_mlops.tracking.aliases import roll_back
    from fer_mlops.tracking.store import check_store

    check_store()
    now, before = roll_back()
    click.echo(f"version {now} is champion again; version {before} is previous")


@click.group(cls=Group)
def registry() -> None:
    """List, show, compare and delete versions."""


@registry.command(name="list", examples=("fer-mlops registry list",))
def list_registered() -> None:
    """List all versions with their aliases and scores."""
    from fer_mlops.cli.output.versions import print_versions
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import list_versions

    check_store()
    print_versions(list_versions())


@registry.command(name="show", examples=("fer-mlops registry show champion",))
@click.argument("version")
def show_version(version: str) -> None:
    """Show the model card of VERSION, a number or an alias."""
    from fer_mlops.cli.output.versions import print_card
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import version_of

    check_store()
    print_card(version_of(version))


@registry.command(name="diff", examples=("fer-mlops registry diff champion challenger",))
@click.argument("first")
@click.argument("second")
def diff_versions(first: str, second: str) -> None:
    """Show the settings and scores that differ between versions FIRST and SECOND."""
    from fer_mlops.cli.output.versions import print_differences
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import differences, version_of

    check_store()
    one, other = version_of(first), version_of(second)
    print_differences(one, other, differences(one, other))


@registry.command(name="relocate", examples=("fer-mlops registry relocate",))
def relocate_store() -> None:
    """Update the paths in mlflow.db after it was moved or copied together with mlruns."""
    from fer_mlops.tracking.database import relocate

    moved = relocate()
    for old, new in moved:
        click.echo(printable(f"{old} → {new}"))
    if not moved:
        click.echo("nothing to do: the paths in mlflow.db are up to date")


@registry.command(name="delete", examples=("fer-mlops registry delete 3",))
@click.argument("version", type=int)
def remove_version(version: int) -> None:
    """Delete VERSION; it must not have an alias."""
    from fer_mlops.tracking.aliases import delete_version
    from fer_mlops.tracking.store import check_store

    check_store()
    delete_version(version)
    click.echo(f"version {version} is deleted")
