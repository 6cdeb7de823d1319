"""Results of commands: printed as text, or with ``--json`` as JSON alone on standard output."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import click

from fer_mlops.cli.commands import Decorator, option


@dataclass(frozen=True)
class Result:
    """Result of a command."""

    value: object
    """Value that ``--json`` prints: plain values, dataclasses, or an iterator that is read once."""
    show: Callable[[], None]
    """Prints the value as text; called without ``--json`` only."""
    status: Callable[[], int] = lambda: 0
    """Returns the exit status; called after the value is printed."""


def with_json(section: str = "") -> Decorator:
    """Returns a decorator for a command that returns a Result: adds ``--json`` and prints the result.

    With ``--json``, everything else that the command prints goes to standard error. A command that
    returns None has printed its result itself, or leaves that to another process.

    Args:
        section: Section of the help for ``--json``; by default that of the option before it.
    """

    def decorate(command: Callable[..., Result | None]) -> Callable[..., int]:
        @option(
            "--json", "as_json", is_flag=True, section=section, help="Print only the result, as JSON."
        )
        @functools.wraps(command)
        def run(*arguments: Any, as_json: bool, **options: Any) -> int:
            with redirect_stdout(sys.stderr if as_json else sys.stdout):
                result = command(*arguments, **options)
                if result is None:
                    return 0
                text = as_text(result.value) if as_json else ""
            if as_json:
                click.echo(text)
            else:
                result.show()
            return result.status()

        return run

    return decorate


def as_text(value: object) -> str:
    """Returns the value as JSON; a number that does not exist is null."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def plain(value: Any) -> object:
    """Returns nested values in JSON's types.

    Dataclasses become mappings, by their ``as_dict`` if they have one; nan and infinity become None.
    """
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, Iterator)):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # an array or a number of NumPy
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PurePath) else value
