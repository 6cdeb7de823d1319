"""Face table builder: turns the rows of a data set into a clean FaceTable, and each problem into a note.

The data set modules only report the rows they find. This module decides, in the same way for every data
set, how to read a spelling, treat a repeated row, or handle a missing file.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fer_mlops.data.datasets.base import Request
from fer_mlops.data.datasets.doubts import PUBLISHED, doubt_guesses
from fer_mlops.data.datasets.identities import stated_person
from fer_mlops.data.table import FaceTable, Kind, Note, Row, make_table, shorten
from fer_mlops.emotions import OUTSIDE, normalise_emotion
from fer_mlops.errors import DataError
from fer_mlops.metrics.identities import count, count_people, is_named, unnamed_identity

_OUTSIDE = "(outside)"
_DROPPED = "(dropped)"
_NOTHING: Mapping[str, str] = MappingProxyType({})  # one for all rows: a million take 64 MB
_DRIVE = re.compile(r"[A-Za-z]:")
_PARTS = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "": "",
}


def by_suffix(names: Sequence[str]) -> str:
    """Returns the number of files of each suffix, such as ``30 .heic, 1 .txt``, most frequent first."""
    suffixes = Counter(posixpath.splitext(name)[1].lower() or "without suffix" for name in names)
    most_first = sorted(suffixes.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{num} {suffix}" for suffix, num in most_first)


def part_of(text: str) -> str | None:
    """Returns ``train``, ``valid``, ``test`` or empty for a publisher's word; None if it is unknown."""
    return _PARTS.get(text.strip().lower())


class FaceTableBuilder:
    """Collects the rows of one data set and returns them as a FaceTable."""

    def __init__(self, name: str, root: Path, request: Request) -> None:
        self.name, self.root, self.request = name, root, request
        self._top = f"{root}/"
        pattern = request.config.identity_pattern
        self._pattern = re.compile(pattern) if pattern else None
        self._rows: list[Row] = []
        self._remarks: list[Note] = []
        self._turned: list[str] = []
        self._labels = {text.lower(): emotion for text, emotion in request.config.labels.items()}
        self._texts: Counter[str] = Counter()
        self._named: dict[str, str | DataError] = {}
        self._found: dict[Kind, list[str]] = {}
        self._origins: dict[str, str] = {}

    def add(
        self,
        image: str,
        emotion: str,
        *,
        where: str = "",
        identity: str | None = None,
        identity_from: str = PUBLISHED,
        source: str = "",
        part: str = "",
        votes: tuple[float, ...] | None = None,
        columns: Mapping[str, str] | None = None,
        is_there: bool = False,
    ) -> None:
        """Adds one labelled image.

        Args:
            image: Path relative to the root.
            emotion: Label in any known spelling; empty if the image has no label.
            where: Name of the row in messages, such as ``legend.csv line 4``; the image if empty.
            identity: Person shown, or None if unknown.
            identity_from: Origin of the identity, for a note; implausible GUESSES are ignored.
            source: Collection that the image comes from; the root's name if empty.
            part: ``train``, ``valid``, ``test`` or empty.
            votes: Share of annotators for each of EMOTIONS.
            columns: Further values of the row, by column name.
            is_there: The caller has just seen the file at this exact path, so it is not checked again.
        """
        where = where or image
        if not image:
            self.skip("malformed-row", f"{where}: no image is named")
            return
        # a csv written on Windows has backslashes, and may name a drive
        path = image if is_there else self._spelled_on_disk(posixpath.normpath(image.replace("\\", "/")))
        if not is_there and (path.startswith(("../", "/")) or path == ".." or _DRIVE.match(path)):
            self.skip("escaping-path", f"{where}: image {image!r} lies outside {str(self.root)!r}")
        elif not (is_there or os.path.isfile(self._top + path)):  # noqa: PTH113 - a million of them
            self.skip("missing-file", f"{where}: no image at {str(self.root / path)!r}")
        elif not emotion.strip():
            self.skip("no-label", path)
        else:
            named = self._name(emotion, where)
            if named == _DROPPED:
                self.skip("dropped-label", path)
                return
            if named and named != emotion:
                if emotion.strip().lower() not in OUTSIDE:
                    self._texts[emotion] += 1
                elif self.request.config.contempt != "drop":
                    self._turned.append(path)
            if named:
                is_kept = named != _OUTSIDE
                person = self._person(path, identity, identity_from) if is_kept else path
                origin = source or self.root.name
                self._rows.append(Row(path, named, person, origin, part, votes, columns or _NOTHING))

    def skip(self, kind: Kind, what: str) -> None:
        """Counts an image or line that is left out of the table, such as a file without a label."""
        self._found.setdefault(kind, []).append(what)

    def add_note(self, text: str) -> None:
        """Adds a note about the data set as a whole."""
        self._remarks.append(Note("about", text))

    def table(self) -> FaceTable:
        """Returns the table, which contains each image once.

        Raises:
            DataError: A row cannot be understood (when reading strictly), or no face is left.
        """
        kept = self._resolve()
        if self.request.is_strict:
            self._refuse()
        if not kept:
            problems = (f"{kind}: {met[0]}" for kind, met in self._found.items())
            why = next(problems, "none was found")
            raise DataError(f"{str(self.root)!r} has no labelled face of the seven emotions: {why}")
        kept, doubts = doubt_guesses(kept, self._origins)
        self._remarks += doubts
        return make_table(self.name, self.root, kept, self._notes(kept))

    def _spelled_on_disk(self, path: str) -> str:
        """Returns the path in the Unicode form of the file on disk; macOS decomposes letters (NFD)."""
        if path.isascii():
            return path
        forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
        return next((form for form in forms if os.path.isfile(self._top + form)), path)  # noqa: PTH113

    def _name(self, text: str, where: str) -> str:
        """Returns the emotion, a marker for one outside the seven, or empty text for an unknown one."""
        if text not in self._named:
            try:
                self._named[text] = self.emotion_of(text)
            except DataError as error:  # cached, since the search for the nearest word is slow
                self._named[text] = error
        named = self._named[text]
        if isinstance(named, DataError):
            self.skip("unknown-emotion", f"{where}: {named}")
            return ""
        return named

    def emotion_of(self, text: str) -> str:
        """Returns the emotion of a label, or a marker for one left out; raises DataError if unknown."""
        word = text.strip()
        configured = self._labels.get(word.lower())
        if configured:
            return _DROPPED if configured == "drop" else configured
        try:
            contempt = self.request.config.contempt
            return normalise_emotion(word) or (_OUTSIDE if contempt == "drop" else contempt)
        except DataError as error:
            setting = json.dumps({word: "drop"}, ensure_ascii=False)
            way_out = f"name its emotion, or leave it out: --set data.labels='{setting}'"
            is_spelling = "did you mean" in str(error)
            raise DataError(f"{error} Or {way_out}" if is_spelling else f"{error}; {way_out}") from None

    def _person(self, path: str, identity: str | None, origin: str) -> str:
        if self._pattern is not None:
            found = self._pattern.search(path)
            identity, origin = found and next(filter(None, found.groups()), None), "identity pattern"
        person = identity if origin == PUBLISHED else stated_person(identity or "")
        if not person:
            return unnamed_identity(path)
        self._origins[path] = origin
        return person

    def _resolve(self) -> list[Row]:
        first: dict[str, Row] = {}
        again: dict[str, list[Row]] = {}
        for row in self._rows:
            if first.setdefault(row.path, row) is not row:
                again.setdefault(row.path, []).append(row)
        kept = []
        for path, row in first.items():
            others = again.get(path, ())
            if any(other.emotion != row.emotion for other in others):  # the right label is unknown
                self.skip("conflicting-rows", path)
                continue
            for _ in others:
                self.skip("repeated-rows", path)
            if row.emotion == _OUTSIDE:
                self.skip("outside-emotion", path)
            else:
                kept.append(row)
        return kept

    def _refuse(self) -> None:
        fatal: list[Kind] = ["malformed-row", "escaping-path", "unknown-emotion"]
        if self.request.config.on_bad_image == "error":
            fatal += _SKIPPABLE
        for kind in fatal:
            met = self._found.get(kind, [])
            if met:
                more = f" (and {len(met) - 1} more; 'fer-mlops data check' lists them)"
                skip = "; or leave such rows out with --on-bad-image skip"
                way_out = skip if kind in _SKIPPABLE else ""
                raise DataError(met[0] + (more if len(met) > 1 else "") + way_out)

    def _notes(self, kept: list[Row]) -> list[Note]:
        self._found["no-identity"] = sorted(
            row.path for row in kept if row.identity == unnamed_identity(row.path)
        )
        identities = np.array([row.identity for row in kept], dtype=np.str_)
        people, _ = count_people(identities)
        named = zip(kept, is_named(identities), strict=True)
        origins = Counter(self._origins[row.path] for row, has_name in named if has_name)
        listed = ", ".join(f"{origin} ({n})" for origin, n in origins.most_common())
        notes = [*self._remarks]
        if listed:
            notes.append(Note("identities", f"{people} people, identified by {listed}"))
        if self._texts:
            spellings = tuple(f"{text} ({n})" for text, n in sorted(self._texts.items()))
            notes.append(Note("spelling", f"labels also spelled {shorten(spellings, 8)}", spellings))
        if self._turned:
            faces = count(len(self._turned), "contempt face")
            text = f"{faces} counted as {self.request.config.contempt}"
            notes.append(Note("outside-emotion", text, tuple(self._turned)))
        for kind, (noun, words) in _WORDS.items():
            met = self._found.get(kind, [])
            if met:
                some = by_suffix(met) if kind == "not-read" else shorten(met)
                notes.append(Note(kind, f"{count(len(met), noun)} {words}: {some}", tuple(met)))
        return notes


_SKIPPABLE: list[Kind] = ["missing-file", "unreadable"]


_WORDS: dict[Kind, tuple[str, str]] = {
    "repeated-rows": ("repeated row", "counted once"),
    "conflicting-rows": ("image", "with two labels left out"),
    "unknown-emotion": ("row", "with an unknown emotion"),
    "outside-emotion": ("contempt face", "left out, not one of the seven emotions"),
    "no-label": ("file", "without a label left out"),
    "not-a-face": ("image", "that annotators call no face or unknown left out"),
    "no-majority": ("image", "without a majority of votes left out"),
    "dropped-label": ("image", "left out because of data.labels"),
    "not-read": ("file", "not read, not an image in a known format"),
    "missing-file": ("row", "without a file left out"),
    "unreadable": ("unreadable image", "left out"),
    "escaping-path": ("row", "outside the data set's folder"),
    "malformed-row": ("row", "cannot be understood"),
    "no-identity": (
        "image",
        "without a person's name: each counts as one person, so an identity split cannot keep a "
        "person's photos together",
    ),
}
