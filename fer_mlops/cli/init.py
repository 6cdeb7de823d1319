"""Command ``init``: writes a recipe with every setting of a family."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from fer_mlops.cli.commands import Choice, Command
from fer_mlops.cli.options import SECTIONS
from fer_mlops.cli.result import Result, with_json
from fer_mlops.errors import DataError
from fer_mlops.files import write_text


@click.command(cls=Command, examples=("fer-mlops init", "fer-mlops init mine.yaml --family transfer"))
@click.argument("file", type=click.Path(path_type=Path), default="recipe.yaml", metavar="[FILE]")
@click.option(
    "--family",
    type=Choice(list(SECTIONS)),
    default="cnn",
    show_default=True,
    help="Family whose settings are written.",
)
@with_json()
def init(file: Path, family: str) -> Result:
    """Write a recipe with every setting explained.

    FILE is recipe.yaml by default. Each setting is a comment with its default; an existing file is not
    changed.
    """
    from fer_mlops.cli.output.screen import print_next
    from fer_mlops.config.recipe_template import recipe_template

    if file.exists() or file.is_symlink():
        raise DataError(f"{str(file)!r} exists already; name another file or move it away")
    shown = shlex.quote(str(file))
    write_text(file, recipe_template(family, shown))

    def show() -> None:
        click.echo(f"{file}: every setting of {family}; remove the # before those that you change")
        print_next(f"fer-mlops {family} --recipe {shown}")

    return Result({"file": file, "family": family}, show)
