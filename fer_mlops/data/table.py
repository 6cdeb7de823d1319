"""Face table: the common form of every data set."""

from __future__ import annotations

import hashlib
import os
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.classification import Labels

Kind = Literal[
    "about",
    "identities",
    "no-identity",
    "doubtful-identity",
    "spelling",
    "repeated-rows",
    "conflicting-rows",
    "unknown-emotion",
    "outside-emotion",
    "no-label",
    "dropped-label",
    "not-read",
    "not-a-face",
    "no-majority",
    "missing-file",
    "escaping-path",
    "malformed-row",
    "unreadable",
    "almost-black",
    "relabelled",
]


@dataclass(frozen=True, slots=True)
class Note:
    """Note about a problem or action while reading a data set."""

    kind: Kind
    text: str
    """A sentence with counts."""
    examples: tuple[str, ...] = ()
    """All paths, lines or spellings that the note is about."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class FaceTable:
    """Labelled faces on disk, sorted by path, each image once.

    ``identities`` holds each face's person (equal text means the same person; ``unnamed_identity`` if
    the person is not named), and ``sources`` the collection that the face comes from.
    """

    name: str
    root: Path
    paths: tuple[str, ...]
    """Paths relative to ``root``, with forward slashes."""
    labels: Labels
    identities: NDArray[np.str_]
    sources: NDArray[np.str_]
    parts: NDArray[np.str_]
    """Publisher's part: ``train``, ``valid`` or ``test``; empty if there is none."""
    votes: NDArray[np.float32] | None = None
    """Share of annotators who chose each emotion [n, 7], rows sum to 1; None if not published."""
    columns: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    """Further values of each face, such as ``annotator`` or ``age``; [n] each."""
    notes: tuple[Note, ...] = ()
    terms: str = ""
    """Uses that the data set's publisher allows, in a sentence."""
    contents: NDArray[np.uint64] | None = None
    """Hash of each file [n]; None if the files were not read."""

    def __len__(self) -> int:
        return len(self.paths)

    def counts(self) -> dict[str, int]:
        """Returns the number of faces of each emotion, all seven named."""
        numbers = np.bincount(self.labels, minlength=len(EMOTIONS))
        return {emotion: int(n) for emotion, n in zip(EMOTIONS, numbers, strict=True)}

    def digest(self) -> str:
        """Returns 16 hexadecimal digits that change with any path, label, identity or file's content."""
        state = hashlib.sha256()
        for path, label, identity in zip(self.paths, self.labels, self.identities, strict=True):
            state.update(f"{path}\0{label}\0{identity}\n".encode())
        if self.contents is not None:
            # little-endian, so that the digest is the same on every machine
            state.update(np.ascontiguousarray(self.contents, dtype="<u8").tobytes())
        return state.hexdigest()[:16]

    def select(self, rows: Sequence[int] | NDArray[np.int64], *notes: Note) -> FaceTable:
        """Returns the table of these rows only, with ``notes`` added."""
        index = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            paths=tuple(self.paths[i] for i in index),
            labels=self.labels[index],
            identities=self.identities[index],
            sources=self.sources[index],
            parts=self.parts[index],
            votes=None if self.votes is None else self.votes[index],
            columns={name: values[index] for name, values in self.columns.items()},
            notes=(*self.notes, *notes),
            contents=None if self.contents is None else self.contents[index],
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled image while a data set is being read."""

    path: str
    emotion: str
    identity: str
    source: str
    part: str = ""
    votes: tuple[float, ...] | None = None
    """Share of annotators for each of EMOTIONS."""
    columns: Mapping[str, str] = field(default_factory=dict)


# bytes up to which a file is hashed whole; for a larger one, its size, beginning, middle and end
_WHOLE = 1 << 16


def hash_files(root: Path, paths: Sequence[str]) -> NDArray[np.uint64]:
    """Returns a hash of each file's content [n], 0 where it cannot be read; equal on every machine."""
    hashes = [_hash_file(f"{root}/{path}") for path in paths]
    return np.frombuffer(b"".join(hashes), dtype="<u8").astype(np.uint64)


def _hash_file(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a million of them
            size = os.fstat(file.fileno()).st_size
            state = hashlib.blake2b(f"{size} ".encode(), digest_size=8)
            third = _WHOLE // 3
            for start in (0,) if size <= _WHOLE else (0, (size - third) // 2, size - third):
                file.seek(start)
                state.update(file.read(_WHOLE if size <= _WHOLE else third))
            return state.digest()
    except OSError:  # reported when the image is decoded
        return bytes(8)


def count_or_unknown(num_people: int, num_unnamed: int) -> str | int:
    """Returns the number of people for a table's cell, with ``?`` for unnamed ones."""
    if not num_unnamed:
        return num_people
    return f"{num_people} + ?" if num_people else "?"


def composed(path: str) -> str:
    """Returns a path in the form used for comparisons: NFC, as macOS stores letters decomposed."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def make_table(name: str, root: Path, rows: Sequence[Row], notes: Sequence[Note]) -> FaceTable:
    """Returns the table of ``rows``, sorted by path so that the order on disk has no effect."""
    ordered = sorted(rows, key=lambda row: row.path)
    has_votes = bool(ordered) and all(row.votes is not None for row in ordered)
    names = sorted({name for row in ordered for name in row.columns})

    def texts(values: list[str]) -> NDArray[np.str_]:
        return np.array(values, dtype=np.str_)

    return FaceTable(
        name=name,
        root=root,
        paths=tuple(row.path for row in ordered),
        labels=np.array([EMOTIONS.index(row.emotion) for row in ordered], dtype=np.int64),
        identities=texts([row.identity for row in ordered]),
        sources=texts([row.source for row in ordered]),
        parts=texts([row.part for row in ordered]),
        votes=np.array([row.votes for row in ordered], dtype=np.float32) if has_votes else None,
        columns={name: texts([row.columns.get(name, "") for row in ordered]) for name in names},
        notes=tuple(notes),
    )


def shorten(names: Sequence[str], most: int = 3) -> str:
    """Returns the first few names in alphabetical order, and the number of further ones."""
    return listed(sorted(names), most)


def listed(words: Sequence[str], most: int = 3) -> str:
    """Returns the first words, separated by commas, and the number of further ones."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def as_argument(table: FaceTable, row: int) -> str:
    """Returns a face's file as an argument of ``explain``; ``sample`` if it has no file."""
    face = Path(table.root) / table.paths[row]
    if face.is_relative_to(Path.cwd()):
        face = face.relative_to(Path.cwd())
    return shlex.quote(str(face)) if face.is_file() else "sample"
