"""The command line, run in this process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import click
import pytest

from fer_mlops.cli import main


def walk(group: click.Group, *path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from walk(command, *path, name)
        else:
            yield " ".join([*path, name]), command


assert isinstance(main.cli, click.Group)
COMMANDS = dict(walk(main.cli))
"""Every command by the words that start it."""


def fer(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Returns exit status, output and errors of the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fer-mlops", *words])
        patch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err
