"""FaceTable: what every data set is turned into."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS

Labels = NDArray[np.int64]
"""Shape [n]; indices into EMOTIONS."""


@dataclass(frozen=True, kw_only=True)
class FaceTable:
    """Labelled faces on disk, sorted by path, each image once.

    ``identities`` tells whose face it is (any text; equal text, same person) and ``sources`` which
    collection it came from. ``notes`` are sentences on what cleaning did, with counts.
    """

    name: str
    root: Path
    paths: tuple[str, ...]
    """Relative to ``root``, with forward slashes."""
    labels: Labels
    identities: NDArray[np.str_]
    sources: NDArray[np.str_]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> dict[str, int]:
        """Returns the number of faces of each emotion, all seven named."""
        numbers = np.bincount(self.labels, minlength=len(EMOTIONS))
        return {emotion: int(n) for emotion, n in zip(EMOTIONS, numbers, strict=True)}

    def digest(self) -> str:
        """Returns 16 hexadecimal digits that change with any path, label or identity."""
        state = hashlib.sha256()
        for path, label, identity in zip(self.paths, self.labels, self.identities, strict=True):
            state.update(f"{path}\0{label}\0{identity}\n".encode())
        return state.hexdigest()[:16]

    def select(self, rows: Sequence[int] | NDArray[np.int64], *notes: str) -> FaceTable:
        """Returns the table of these rows only, with ``notes`` added."""
        index = np.asarray(rows, dtype=np.int64)
        return FaceTable(
            name=self.name,
            root=self.root,
            paths=tuple(self.paths[i] for i in index),
            labels=self.labels[index],
            identities=self.identities[index],
            sources=self.sources[index],
            notes=(*self.notes, *notes),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled image while a data set is being read."""

    path: str
    emotion: str
    identity: str
    source: str


def make_table(name: str, root: Path, rows: Sequence[Row], notes: Sequence[str]) -> FaceTable:
    """Returns the table of ``rows``, sorted by path so that the order on disk never matters."""
    ordered = sorted(rows, key=lambda row: row.path)
    return FaceTable(
        name=name,
        root=root,
        paths=tuple(row.path for row in ordered),
        labels=np.array([EMOTIONS.index(row.emotion) for row in ordered], dtype=np.int64),
        identities=np.array([row.identity for row in ordered], dtype=np.str_),
        sources=np.array([row.source for row in ordered], dtype=np.str_),
        notes=tuple(notes),
    )


def resolve_repeats(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Returns each image once, and notes on the rest.

    The rule: rows that repeat an image with one emotion count once; an image whose rows disagree is
    left out, since nothing says which label is right.
    """
    by_path: dict[str, list[Row]] = {}
    for row in rows:
        by_path.setdefault(row.path, []).append(row)
    kept = [same[0] for same in by_path.values() if len({row.emotion for row in same}) == 1]
    repeated = sum(len(same) - 1 for same in by_path.values() if len({row.emotion for row in same}) == 1)
    conflicts = [path for path, same in by_path.items() if len({row.emotion for row in same}) > 1]
    notes = []
    if repeated:
        notes.append(f"{repeated} repeated rows counted once")
    if conflicts:
        notes.append(f"{len(conflicts)} images with two labels left out: {shorten(conflicts)}")
    return kept, notes


def shorten(names: Sequence[str], most: int = 3) -> str:
    """Returns the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(sorted(names)[:most]) + more
