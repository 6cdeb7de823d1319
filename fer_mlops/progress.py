"""Progress callbacks, and the bars that a notebook shows."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fer_mlops.errors import printable

Note = Callable[[], str]
"""Returns words about a stage; called only when they are shown, as reading a loss takes time."""


class Advance(Protocol):
    """Counts the items of a stage."""

    def __call__(self, count: int, note: Note | None = None, /) -> None:
        """Counts items just finished; ``note`` is shown instead of the number of items so far."""


Progress = Callable[[str, int], Advance]
"""Called with a stage's name and its number of items, 0 if unknown; returns the stage's ``Advance``."""


def ignore_progress(_: int, __: Note | None = None, /) -> None:
    """Shows no progress of a stage."""


def no_progress(_: str, __: int) -> Advance:
    """Starts a stage without showing progress."""
    return ignore_progress


def labelled(progress: Progress, run: str) -> Progress:
    """Returns ``progress`` with the name of a run before the name of each stage."""
    return lambda name, total: progress(f"{run}: {name}", total)


def cached(num_faces: int) -> Note:
    """Returns the note of a stage that the cache serves."""
    return lambda: f"{num_faces} faces (cached)"


def is_notebook() -> bool:
    """Returns whether this process runs a notebook; a terminal with IPython is none."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def notebook_progress(name: str, total: int) -> Advance:
    """Starts a stage with a bar in the output of the notebook's cell."""
    from IPython.display import display  # a notebook has it; this package does not need it

    stage = Stage(name, total, lambda: handle.update(stage))
    handle: Any = display(stage, display_id=True)
    return stage.advance


class StageLines:
    """Writes a line for every stage that ends: with its last item, as the next begins, or at the end."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self.write = write
        self.stage: Stage | None = None

    def begin(self, name: str, total: int) -> Advance:
        """Starts a stage; a ``Progress``."""
        self.finish()
        stage = Stage(name, total, lambda: self.draw(stage))
        self.stage = stage
        return stage.advance

    def draw(self, stage: Stage) -> None:
        """Shows the present state of a stage."""
        if stage is self.stage and stage.is_complete:
            self.finish()

    def finish(self) -> None:
        """Ends the present stage, if there is one."""
        if self.stage:
            self.write(repr(self.stage))
            self.stage = None


def write_to_stderr(line: str) -> None:
    """Writes a line about progress on standard error."""
    print(printable(line), file=sys.stderr, flush=True)


_EVERY = 0.1  # shortest time between two drawings of a stage, in seconds


@dataclass
class Stage:
    """Stage that is shown: drawn at most ten times a second, and when it is complete."""

    name: str
    total: int
    """Number of items; 0 if unknown."""
    draw: Callable[[], None]
    num_done: int = 0
    note: Note | None = None
    begun: float = field(default_factory=time.monotonic)
    drawn: float = 0.0

    def advance(self, count: int, note: Note | None = None, /) -> None:
        """Counts items; an ``Advance``."""
        self.num_done += count
        self.note = note or self.note
        now = time.monotonic()
        if self.is_complete or now - self.drawn >= _EVERY:
            self.drawn = now
            self.draw()

    @property
    def is_complete(self) -> bool:
        """Whether all items are done."""
        return 0 < self.total <= self.num_done

    @property
    def amount(self) -> str:
        """The stage's note, or its number of items done."""
        if self.note:
            return self.note()
        return f"{self.num_done}/{self.total}" if self.total else f"{self.num_done or ''}"

    def __repr__(self) -> str:
        seconds = time.monotonic() - self.begun
        parts = [self.amount, f"{seconds:.0f} s" if seconds >= 1 else ""]
        return f"{self.name}: {', '.join(filter(None, parts)) or 'done'}"

    def _repr_html_(self) -> str:
        share = f'value="{self.num_done}" max="{self.total}"' if self.total else ""
        return f"<progress {share}></progress> {html.escape(repr(self))}"
