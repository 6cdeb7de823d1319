"""Progress callbacks, and the bars that a notebook shows."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Advance = Callable[[int], None]
"""Called with the number of items just finished."""
Progress = Callable[[str, int], Advance]
"""Called with a stage's name and its number of items; returns the stage's ``Advance``."""


def ignore_progress(_: int) -> None:
    """Shows no progress of a stage."""


def no_progress(_: str, __: int) -> Advance:
    """Starts a stage without showing progress."""
    return ignore_progress


def is_notebook() -> bool:
    """Returns whether this process runs a notebook; a terminal with IPython is none."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def notebook_progress(name: str, total: int) -> Advance:
    """Starts a stage with a bar in the output of the notebook's cell."""
    from IPython.display import display  # a notebook has it; this package does not need it

    bar = _Bar(name, total)
    handle: Any = display(bar, display_id=True)

    def advance(count: int) -> None:
        bar.num_done += count
        now = time.monotonic()
        if bar.num_done >= total or now - bar.shown >= _EVERY:
            bar.shown = now
            handle.update(bar)

    return advance


_EVERY = 0.2
"""Shortest time between two updates of a bar, in seconds."""


@dataclass
class _Bar:
    """Bar of one stage."""

    name: str
    total: int
    """Number of items; 0 if unknown."""
    num_done: int = 0
    begun: float = field(default_factory=time.monotonic)
    shown: float = 0.0
    """Time of the last update."""

    def __repr__(self) -> str:
        done = f"{self.num_done}/{self.total}" if self.total else f"{self.num_done}"
        return f"{self.name} {done}, {time.monotonic() - self.begun:.0f} s"

    def _repr_html_(self) -> str:
        share = f'value="{self.num_done}" max="{self.total}"' if self.total else ""
        return f"<progress {share}></progress> {html.escape(repr(self))}"
