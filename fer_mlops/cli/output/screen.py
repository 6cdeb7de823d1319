"""Shared console and progress bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import rich.progress
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment

from fer_mlops.errors import printable
from fer_mlops.progress import Advance, Progress, Stage, StageLines


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
    """Shows the present stage as a bar, on terminals only, and every finished stage as a line.

    A stage is finished when its items are done, when the next one begins, or at the end.
    """
    bars = _Bars()
    with bars.live:
        yield bars.begin
        bars.finish()


class _Bars(StageLines):
    """Bar of the present stage, and a line for every finished one."""

    def __init__(self) -> None:
        super().__init__(console.print)
        self.live = rich.progress.Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=4,  # drawing takes a percent of a core
            disable=not console.is_terminal,
        )

    def begin(self, name: str, total: int) -> Advance:
        advance = super().begin(name, total)
        self.live.add_task(name, total=total or None, amount="")
        return advance

    def draw(self, stage: Stage) -> None:
        super().draw(stage)
        if stage is self.stage and console.is_terminal:
            self.live.update(self.live.task_ids[0], completed=stage.num_done, amount=stage.amount)

    def finish(self) -> None:
        if self.stage:
            self.live.remove_task(self.live.task_ids[0])
            self.live.refresh()
        super().finish()


def warn_of_drawn_faces(model: str) -> None:
    """Prints a line on standard error if a stored model was trained on the drawn sample."""
    if not model.startswith(("models:/", "runs:/")):
        return
    from fer_mlops.tracking.model_names import DRAWN, is_drawn
    from fer_mlops.tracking.sqlite_registry import stored_version

    if version := stored_version(model):
        is_of_drawing = is_drawn(version.tags)
    else:
        from fer_mlops.tracking.registry import is_of_drawn_faces  # imports MLflow

        is_of_drawing = is_of_drawn_faces(model)
    if is_of_drawing:
        click.echo(f"fer-mlops: {DRAWN}", err=True)


def print_next(*commands: str) -> None:
    """Prints the commands that a user is likely to run next."""
    for command in commands:
        console.print(f"Next:     {command}")


def print_view(experiment_id: str) -> None:
    """Prints how to open the UI at the runs table."""
    from fer_mlops.tracking.connection import is_remote  # not every command needs MLflow
    from fer_mlops.tracking.runs_view import runs_address

    how = "" if is_remote() else "fer-mlops ui   then "
    console.print(f"See it:   {how}{runs_address(experiment_id)}")


def print_ending(page: Path | None, experiment_id: str, *next_commands: str) -> None:
    """Prints where a result is, as a page and in the UI, and the commands to run next."""
    if page:
        console.print(f"written to {page}")
    print_view(experiment_id)
    print_next(*next_commands)
