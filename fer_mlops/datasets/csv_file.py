"""One's own faces as a csv: columns ``image,emotion`` and, if known, ``identity`` and ``source``.

Image paths are relative to the csv.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

from fer_mlops.datasets.folder import identity_of
from fer_mlops.datasets.table import FaceTable, Row, make_table, resolve_repeats
from fer_mlops.emotions import normalise_emotion
from fer_mlops.errors import DataError


def load(path: Path) -> FaceTable:
    """Returns the labelled faces of the csv at ``path``.

    Raises:
        DataError: The file is unreadable, lacks a column, names a missing image or one outside the
            csv's folder, or has an unknown emotion; the message says which line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"image", "emotion"} <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{str(path)!r} needs columns image,emotion[,identity], has {reader.fieldnames}"
                )
            lines = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {str(path)!r}: {error}") from error
    rows: list[Row] = []
    num_outside = 0
    for line, fields in lines:
        try:
            row = _read_row(path.parent, fields)
        except DataError as error:
            raise DataError(f"{path.name} line {line}: {error}") from error
        if row is None:
            num_outside += 1
        else:
            rows.append(row)
    kept, notes = resolve_repeats(rows)
    if not kept:
        raise DataError(f"{str(path)!r} has no labelled face")
    if num_outside:
        notes.append(f"{num_outside} contempt faces left out: not one of the seven emotions")
    return make_table(path.stem, path.parent, kept, notes)


def _read_row(root: Path, fields: dict[str, str | None]) -> Row | None:
    """Returns the row, or None where its emotion is outside the seven."""
    image = (fields["image"] or "").strip()
    emotion = normalise_emotion(fields["emotion"] or "")
    if not image:
        raise DataError("no image is named")
    if not (root / image).is_file():
        raise DataError(f"no image at {str(root / image)!r}")
    if not (root / image).resolve().is_relative_to(root.resolve()):
        raise DataError(f"image {image!r} lies outside the csv's folder")
    if emotion is None:
        return None
    identity = (fields.get("identity") or "").strip() or identity_of(Path(Path(image).name)) or image
    path = Path(os.path.normpath(image)).as_posix()
    return Row(path, emotion, identity, (fields.get("source") or root.name).strip())
