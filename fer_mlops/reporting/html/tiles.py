"""Tiles: the large numbers at the top of a page."""

from __future__ import annotations

from typing import Literal

Mood = Literal["", "clean", "note", "warning", "error"]
"""Kind of a message, shown as its colour."""
Tile = tuple[str, str, Mood]
"""Number, label and mood."""


def people_tile(num_people: int, num_unnamed: int) -> Tile:
    """Returns a tile with the number of known identities."""
    if not num_people and num_unnamed:
        return "?", "people: no identities", "warning"
    unknown = f", and {num_unnamed:,} faces without identity" if num_unnamed else ""
    return f"{num_people:,}", ("person" if num_people == 1 else "people") + unknown, ""
