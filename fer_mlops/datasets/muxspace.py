"""Muxspace facial_expressions: https://github.com/muxspace/facial_expressions

Layout: ``images/*.jpg`` and ``data/legend.csv`` with columns ``user.id,image,emotion``. Two sources
are glued together: Labeled Faces in the Wild (gray), and colour crops of a few film actors whose
rows have UPPERCASE labels and annotator ``jhamski``. File names are ``Person_Name_0001.jpg``.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from fer_mlops.datasets.table import FaceTable, Row, make_table, resolve_repeats, shorten
from fer_mlops.emotions import normalise_emotion
from fer_mlops.errors import DataError

LEGEND = Path("data") / "legend.csv"
_COLUMNS = ("user.id", "image", "emotion")
_NUMBER = re.compile(r"_?\d+[a-z]?\.\w+$")


def is_muxspace(root: Path) -> bool:
    """Returns whether ``root`` has Muxspace's layout."""
    return (root / LEGEND).is_file() and (root / "images").is_dir()


def identity_of(image: str) -> str:
    """Returns the person in a file name: all before its number (``Tony_Blair_0090.jpg``)."""
    return _NUMBER.sub("", image)


def load(root: Path) -> FaceTable:
    """Returns the labelled faces, contempt and unlabelled files left out and counted.

    Raises:
        DataError: Folder or legend is missing or malformed, or has an unknown emotion.
    """
    if not is_muxspace(root):
        raise DataError(
            f"{str(root)!r} has no images/ and data/legend.csv; get Muxspace with 'git clone "
            "https://github.com/muxspace/facial_expressions' and pass its folder with --data"
        )
    rows: list[Row] = []
    outside: list[str] = []
    missing: list[str] = []
    seen: set[str] = set()
    files = {path.name for path in (root / "images").iterdir()}
    for line, (annotator, image, text) in _read_legend(root / LEGEND):
        try:
            emotion = normalise_emotion(text)
        except DataError as error:
            raise DataError(f"{LEGEND} line {line}: {error}") from error
        seen.add(image)
        if image not in files:
            missing.append(image)
        elif emotion is None:
            outside.append(image)
        else:
            source = "actors" if annotator == "jhamski" else "lfw"
            rows.append(Row(f"images/{image}", emotion, identity_of(image), source))
    kept, notes = resolve_repeats(rows)
    if not kept:
        raise DataError(f"{str(root / LEGEND)!r} has no labelled face of the seven emotions with a file")
    unlabelled = sorted(files - seen)
    if outside:
        notes.append(f"{len(outside)} contempt faces left out: not one of the seven emotions")
    if missing:
        notes.append(f"{len(missing)} rows without a file left out: {shorten(missing)}")
    if unlabelled:
        notes.append(f"{len(unlabelled)} files without a label left out: {shorten(unlabelled)}")
    return make_table("muxspace", root, kept, notes)


def _read_legend(path: Path) -> list[tuple[int, tuple[str, str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not set(_COLUMNS) <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{str(path)!r} needs columns {', '.join(_COLUMNS)}, has {reader.fieldnames}"
                )
            return [
                (reader.line_num, (row["user.id"] or "", row["image"] or "", row["emotion"] or ""))
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {str(path)!r}: {error}") from error
