"""Commands for registered versions: promote, rollback, registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fer_mlops.cli.commands import Command, Group
from fer_mlops.cli.options import DATA_HELP, INT, is_chosen
from fer_mlops.cli.result import Result, with_json
from fer_mlops.errors import printable
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.data.loading import Data
    from fer_mlops.pipelines.promote import Decision
    from fer_mlops.pipelines.train import Trained


@click.command(
    cls=Command, examples=("fer-mlops promote", "fer-mlops promote --version 3 --data other/")
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
@click.option("--data", default="auto", help=f"Evaluate on all faces of {DATA_HELP}")
@click.option("--experiment", default="fer_mlops", show_default=True, help="MLflow experiment.")
@with_json()
def promote(version: int | None, run_id: str, gate: str, data: str, experiment: str) -> Result:
    """Make a version champion if it passes the gate.

    The exit status is 1 if it does not pass.
    """
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import find_candidate

    check_store(experiment)
    number = find_candidate(version, run_id if is_chosen(run_id) else "")
    rules = Path(gate) if is_chosen(gate) else None
    decision = through_the_gate(number, experiment, rules, data if is_chosen(data) else None)
    return Result(decision, lambda: None, lambda: 0 if decision.is_promoted else 1)


def through_the_gate(
    version: int,
    experiment: str,
    rules: Path | None = None,
    source: str | None = None,
    data: Data | None = None,
) -> Decision:
    """Runs the gate for a version in a separate run and prints the decision."""
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.cli.output.versions import print_decision
    from fer_mlops.pipelines.promote import promote_in_run

    with progress_bars() as progress:
        return promote_in_run(
            version,
            experiment,
            cache_folder(),
            gate=rules,
            source=source,
            data=data,
            progress=progress,
            announce=print_decision,
        )


def promote_trained(trained: Trained) -> Decision | None:
    """Runs the gate for the version that training registered, unless it is champion already."""
    made = trained.registration
    if not made or made.is_champion:
        return None
    return through_the_gate(made.version, trained.experiment.tracking.experiment, data=trained.data)


@click.command(cls=Command, examples=("fer-mlops rollback",))
@with_json()
def rollback() -> Result:
    """Make the previous champion champion again."""
    from fer_mlops.cli.output.screen import print_next
    from fer_mlops.tracking.aliases import roll_back
    from fer_mlops.tracking.store import check_store

    check_store()
    now, before = roll_back()

    def show() -> None:
        click.echo(f"version {now} is champion again; version {before} is previous")
        print_next("fer-mlops registry list")

    return Result({"champion": now, "previous": before}, show)


@click.group(cls=Group)
def registry() -> None:
    """List, show, compare and delete versions."""


@registry.command(name="list", examples=("fer-mlops registry list", "fer-mlops registry list --json"))
@with_json()
def list_registered() -> Result:
    """List all versions with their aliases and scores."""
    from fer_mlops.cli.output.versions import print_versions
    from fer_mlops.tracking.version_list import list_versions

    versions = list_versions()
    return Result(versions, lambda: print_versions(versions))


@registry.command(name="show", examples=("fer-mlops registry show champion",))
@click.argument("version")
@with_json()
def show_version(version: str) -> Result:
    """Show the model card of VERSION.

    VERSION is a number or an alias.
    """
    from fer_mlops.cli.output.versions import print_card
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import version_of

    check_store()
    found = version_of(version)
    return Result(found, lambda: print_card(found))


@registry.command(name="diff", examples=("fer-mlops registry diff champion challenger",))
@click.argument("first")
@click.argument("second")
@with_json()
def diff_versions(first: str, second: str) -> Result:
    """Show how versions FIRST and SECOND differ.

    A version is a number or an alias. Settings and test scores are compared.
    """
    from fer_mlops.cli.output.versions import print_differences
    from fer_mlops.tracking.store import check_store
    from fer_mlops.tracking.versions import differences, version_of

    check_store()
    one, other = version_of(first), version_of(second)
    found = differences(one, other)
    return Result(
        {
            "versions": [one.number, other.number],
            "differences": {name: list(values) for name, *values in found},
        },
        lambda: print_differences(one, other, found),
    )


@registry.command(name="relocate", examples=("fer-mlops registry relocate",))
@with_json()
def relocate_store() -> Result:
    """Update the paths in a moved mlflow.db.

    Run it in the folder that mlflow.db was moved or copied to together with mlruns.
    """
    from fer_mlops.tracking.database import relocate

    moved = relocate()

    def show() -> None:
        for old, new in moved:
            click.echo(printable(f"{old} → {new}"))
        if not moved:
            click.echo("nothing to do: the paths in mlflow.db are up to date")

    return Result([{"from": old, "to": new} for old, new in moved], show)


@registry.command(name="delete", examples=("fer-mlops registry delete 3",))
@click.argument("version", type=int)
@with_json()
def remove_version(version: int) -> Result:
    """Delete VERSION; it must not have an alias."""
    from fer_mlops.tracking.aliases import delete_version
    from fer_mlops.tracking.store import check_store

    check_store()
    delete_version(version)
    return Result({"deleted": version}, lambda: click.echo(f"version {version} is deleted"))
