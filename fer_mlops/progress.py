"""How long work tells of itself, without knowing who shows it."""

from __future__ import annotations

from collections.abc import Callable

Advance = Callable[[int], None]
"""Called with the number of things just done."""
Progress = Callable[[str, int], Advance]
"""Starts a named stage of so many things; returns what to tell of each thing done."""


def ignore_progress(_: int) -> None:
    """Takes progress and shows nothing."""


def no_progress(_: str, __: int) -> Advance:
    """Starts a stage and shows nothing."""
    return ignore_progress
