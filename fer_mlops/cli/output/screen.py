"""Shared console and progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click
import rich.progress
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from fer_mlops.errors import printable
from fer_mlops.progress import Advance, Progress


class _Console(Console):
    """A console that escapes control characters: its text holds names from files and registries."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            is_ours = segment.control is not None
            yield segment if is_ours else Segment(printable(segment.text), segment.style)


console = _Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Shows one bar per stage while open; off a terminal, one line per finished stage."""
    bars = rich.progress.Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

    def begin(name: str, total: int) -> Advance:
        task = bars.add_task(name, total=total or None)  # 0: unknown total
        if not console.is_terminal:
            console.print(f"{name} ({total})" if total else name)
        return lambda count: bars.update(task, advance=count)

    with bars:
        yield begin


def warn_of_drawn_faces(model: str) -> None:
    """Prints a line on standard error if a stored model was trained on the drawn sample."""
    if not model.startswith(("models:/", "runs:/")):
        return
    from fer_mlops.tracking.alias_lock import DRAWN
    from fer_mlops.tracking.registry import is_of_drawn_faces

    if is_of_drawn_faces(model):
        click.echo(f"fer-mlops: {DRAWN}", err=True)


def print_view(experiment_id: str) -> None:
    """Prints how to open the UI at the runs table."""
    from fer_mlops.tracking.connection import is_remote  # not every command needs MLflow
    from fer_mlops.tracking.runs_view import runs_address

    how = "" if is_remote() else "fer-mlops ui   then "
    console.print(f"See it:   {how}{runs_address(experiment_id)}")
