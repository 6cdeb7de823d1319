"""Command ``checks``: environment, tracking store, weights, disk and devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

from fer_mlops.cli.commands import Command
from fer_mlops.cli.result import Result, with_json
from fer_mlops.errors import printable
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.pipelines.checks import SystemCheck

NEXT = "fer-mlops data check path/to/faces"
_COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


@click.command(cls=Command, examples=("fer-mlops checks", "fer-mlops checks --json"))
@with_json()
def checks() -> Result:
    """Check packages, tracking store, disk and devices.

    No run is made, and nothing is left behind. The exit status is 1 if a check fails.
    """
    from fer_mlops.pipelines.checks import run_checks

    done: list[SystemCheck] = []

    def recorded() -> Iterator[SystemCheck]:
        for check in run_checks(cache_folder()):
            done.append(check)
            yield check

    found = recorded()
    return Result(found, lambda: _print(found), lambda: int(any(c.status == "failed" for c in done)))


def _print(found: Iterable[SystemCheck]) -> None:
    """Prints each check as soon as it is made, as loading torch takes seconds."""
    from fer_mlops.cli.output.screen import print_next

    failed = []
    for check in found:
        mark = click.style(f"{check.status:8}", fg=_COLOURS[check.status])
        remedy = f"; {check.remedy}" if check.remedy else ""
        click.echo(f"{mark} {check.name:14} {printable(check.found + remedy)}")
        failed += [check.name] if check.status == "failed" else []
    after = f"repair {', '.join(failed)}, then fer-mlops checks" if failed else NEXT
    print_next(after)
