"""Progress callbacks."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int], None]
"""Called with the number of items just finished."""
Progress = Callable[[str, int], Advance]
"""Called with a stage's name and its number of items; returns the stage's ``Advance``."""


def ignore_progress(_: int) -> None:
    """Shows no progress of a stage."""


def no_progress(_: str, __: int) -> Advance:
    """Starts a stage without showing progress."""
    return ignore_progress
