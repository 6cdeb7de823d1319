"""One's own faces as one subfolder per emotion: ``faces/happiness/anna_01.jpg``.

An image may lie deeper, in a folder per person: ``faces/happiness/anna/01.jpg`` has identity
``anna``. Otherwise the identity is the file name less its number, and where that tells nothing
(``0001.jpg``) every image counts as a person of its own, which a note says.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_mlops.datasets.table import FaceTable, Row, make_table, shorten
from fer_mlops.emotions import normalise_emotion
from fer_mlops.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
_NUMBER = re.compile(r"[\s_\-.(]*\d+\)?$")


def load(root: Path) -> FaceTable:
    """Returns the labelled faces below ``root``.

    Raises:
        DataError: A subfolder is no emotion, or no subfolder has an image.
    """
    rows: list[Row] = []
    outside: list[str] = []
    strangers: list[str] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if folder.name.startswith("."):
            continue
        images = find_images(folder)
        emotion = normalise_emotion(folder.name)
        if emotion is None:
            outside += [path.name for path in images]
            continue
        for path in images:
            identity = identity_of(path.relative_to(folder))
            if identity is None:
                strangers.append(path.name)
                identity = path.relative_to(root).as_posix()
            rows.append(Row(path.relative_to(root).as_posix(), emotion, identity, root.name))
    if not rows:
        raise DataError(
            f"{str(root)!r} holds no image in a folder named after an emotion; expected "
            f"{root.name}/happiness/face.jpg and so on"
        )
    notes = []
    if outside:
        notes.append(f"{len(outside)} contempt faces left out: not one of the seven emotions")
    if strangers:
        notes.append(
            f"{len(strangers)} images tell no person and count as one each, so the identity split "
            f"cannot protect them: {shorten(strangers)}"
        )
    return make_table(root.name, root, rows, notes)


def find_images(folder: Path) -> list[Path]:
    """Returns the image files below ``folder``, sorted, nothing hidden among them."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def identity_of(path: Path) -> str | None:
    """Returns the person in a path below an emotion folder, or None where it names none."""
    if len(path.parts) > 1:
        return path.parts[0]
    return _NUMBER.sub("", path.stem) or None
