"""One's own faces as one subfolder per emotion: ``faces/happiness/anna_01.jpg``.

An image may lie deeper, in a folder per person: ``faces/happiness/anna/01.jpg`` has identity
``anna``. Otherwise the identity is the file name less its number, and where that tells nothing
(``0001.jpg``, ``IMG_2041.jpg``) every image counts as a person of its own, which a note says.

Folders ``train``, ``valid`` and ``test`` above the emotions are the publisher's parts
(``--split given``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fer_mlops.datasets.gathering import Gathering, part_of
from fer_mlops.datasets.identities import person_of
from fer_mlops.datasets.source import DataSet, Request
from fer_mlops.datasets.table import FaceTable
from fer_mlops.emotions import normalise_emotion
from fer_mlops.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True, slots=True)
class EmotionFolder:
    """A folder whose name is an emotion, and the images below it."""

    path: str
    """Relative to the data set's root, with forward slashes."""
    emotion: str
    part: str
    """``train``, ``valid``, ``test`` or empty."""
    images: tuple[str, ...]
    """Relative to this folder, with forward slashes; sorted."""


def load(root: Path, request: Request) -> FaceTable:
    """Returns the labelled faces below ``root``.

    Raises:
        DataError: A subfolder with images is no emotion, or no subfolder has an image.
    """
    gathering = Gathering(root.name, root, request)
    folders = [folder for folder in emotion_folders(root) if folder.images]
    if not folders:
        raise DataError(
            f"{str(root)!r} holds no image in a folder named after an emotion; expected "
            f"{root.name}/happiness/face.jpg and so on"
        )
    for folder in folders:
        if request.is_strict:
            normalise_emotion(folder.emotion)
        for image in folder.images:
            identity, origin = person_of(image)
            path = f"{folder.path}/{image}"
            gathering.add(
                path,
                folder.emotion,
                identity=identity,
                identity_from=origin,
                part=folder.part,
                is_there=os.path.isfile(root / path),  # noqa: PTH113 - a million of them
            )
    for name in sorted(os.listdir(root)):  # noqa: PTH208 - names are all it takes
        if is_image(name):
            gathering.leave_out("no-label", name)
    return gathering.table()


def emotion_folders(root: Path) -> Iterator[EmotionFolder]:
    """Yields the folders named after emotions in ``root``, or one level deeper below parts.

    Raises:
        DataError: A folder cannot be read.
    """
    tops = _folders(root)
    parts = {folder: part_of(folder.name) for folder in tops}
    are_parts = bool(tops) and all(parts.values())
    for part in tops if are_parts else [root]:
        for folder in _folders(part):
            yield EmotionFolder(
                folder.relative_to(root).as_posix(),
                folder.name,
                (parts[part] or "") if are_parts else "",
                find_images(folder),
            )


def _folders(root: Path) -> list[Path]:
    """Returns the folders in ``root``, without hidden ones and what an unpacker left."""
    try:
        found = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(f"cannot read {str(root)!r}: {error.strerror}") from error
    return [path for path in found if not path.name.startswith((".", "__"))]


def is_image(name: str) -> bool:
    """Returns whether a file of this name is a picture, and not hidden."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")  # noqa: PTH122


def some_names(folder: Path) -> list[str]:
    """Returns the names of the first hundred files in ``folder``, without reading the rest."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, 100)]


def find_images(folder: Path) -> tuple[str, ...]:
    """Returns the image files below ``folder``, relative to it, sorted; nothing hidden among them.

    Links to folders are followed, each folder once.

    Raises:
        DataError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename!r}: {error.strerror}") from error

    found: list[str] = []
    seen: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:  # a link back up, which would never end
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not name.startswith((".", "__"))]
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        start = "" if below == "." else f"{below}/"
        found += [start + name for name in names if is_image(name)]
    return tuple(sorted(found))


DATASET = DataSet(
    name="folder",
    load=load,
    recognises=Path.is_dir,
    layout="a folder with one subfolder per emotion, or train/ and test/ with those",
    where="your own",
    terms="Yours to know: people must have agreed to be used like this.",
)
