"""User's own folder: one subfolder per emotion, such as ``faces/happiness/anna_01.jpg``.

An image may lie deeper, in a folder per person: ``faces/happiness/anna/01.jpg`` has identity
``anna``. Otherwise the identity is the file name without its number. If that leaves no name
(``0001.jpg``, ``IMG_2041.jpg``), every image counts as one person, and a note reports it.

Folders ``train``, ``valid`` and ``test`` above the emotions are the publisher's parts
(``--split given``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder, by_suffix, part_of
from fer_mlops.data.datasets.identities import person_of
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import SPELLINGS
from fer_mlops.errors import DataError
from fer_mlops.images.reading import SUFFIXES
from fer_mlops.metrics.identities import count

# prefixes of names that systems create: .DS_Store, __MACOSX, @eaDir, #recycle, $RECYCLE.BIN
_SKIPPED = (".", "__", "@", "#", "$")
# folders that MLflow creates in the working directory of a training
_OWN = frozenset({"mlruns", "mlartifacts"})
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True)
class EmotionFolder:
    """Folder named after an emotion, and the images below it."""

    path: str
    """Path relative to the data set's root, with forward slashes."""
    emotion: str
    part: str
    """``train``, ``valid``, ``test`` or empty."""
    images: tuple[str, ...]
    """Paths relative to this folder, with forward slashes; sorted."""
    others: tuple[str, ...]
    """Files that are not read, as paths in the same form."""


def load(root: Path, request: Request) -> FaceTable:
    """Returns the labelled faces below ``root``.

    Raises DataError if a subfolder is not named after an emotion, or no subfolder has an image.
    """
    builder = FaceTableBuilder(root.name, root, request)
    found = list(emotion_folders(root))
    folders = [folder for folder in found if folder.images]
    if not folders:
        others = [other for folder in found for other in folder.others]
        raise DataError(
            f"{str(root)!r} holds no image in a folder named after an emotion; expected "
            f"{root.name}/happiness/face.jpg and so on{unread(others)}"
        )
    for folder in folders:
        if request.is_strict:
            _check(builder, root, folder)
        for image in folder.images:
            identity, origin = person_of(image)
            # a broken link is listed, but is no file
            path = f"{folder.path}/{image}"
            builder.add(
                path,
                folder.emotion,
                identity=identity,
                identity_from=origin,
                part=folder.part,
                is_there=os.path.isfile(root / path),  # noqa: PTH113 - a million of them
            )
    for folder in found:
        for other in folder.others:
            builder.skip("not-read", f"{folder.path}/{other}")
    for name in sorted(os.listdir(root)):  # noqa: PTH208 - only names are needed
        if is_image(name):
            builder.skip("no-label", name)
    return builder.table()


def _check(builder: FaceTableBuilder, root: Path, folder: EmotionFolder) -> None:
    """Raises DataError if a folder is no emotion; suggests a folder below it that contains emotions."""
    try:
        builder.emotion_of(folder.emotion)
    except DataError:
        meant, inner = root / folder.path, _folders(root / folder.path)
        while len(inner) == 1 and not _names_emotions(inner):
            meant, inner = inner[0], _folders(inner[0])
        if _names_emotions(inner):
            raise DataError(
                f"unknown emotion {folder.emotion!r}; did you mean {str(meant)!r}?"
            ) from None
        raise


def _names_emotions(folders: Sequence[Path]) -> bool:
    """Returns whether any of the folders is named after an emotion or a part."""
    return any(path.name.lower() in SPELLINGS or part_of(path.name) for path in folders)


def emotion_folders(root: Path) -> Iterator[EmotionFolder]:
    """Yields the folders named after emotions in ``root``, or one level deeper below parts."""
    tops = _folders(root)
    parts = {folder: part_of(folder.name) for folder in tops}
    are_parts = bool(tops) and all(parts.values())
    for part in tops if are_parts else [root]:
        for folder in _folders(part):
            yield EmotionFolder(
                folder.relative_to(root).as_posix(),
                folder.name,
                (parts[part] or "") if are_parts else "",
                *find_files(folder),
            )


def _folders(root: Path) -> list[Path]:
    """Returns the folders in ``root``, without hidden ones and those of systems and MLflow."""
    try:
        found = sorted(path for path in root.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(f"cannot read {str(root)!r}: {error.strerror}") from error
    return [path for path in found if not path.name.startswith(_SKIPPED) and path.name not in _OWN]


def is_image(name: str) -> bool:
    """Returns whether a file of this name is a picture, and not hidden."""
    return os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")  # noqa: PTH122


def some_names(folder: Path) -> list[str]:
    """Returns the names of the first hundred files in ``folder``, without reading the rest."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, 100)]


def find_images(folder: Path) -> tuple[str, ...]:
    """Returns the image files below ``folder``, relative to it and sorted, without hidden files."""
    return find_files(folder)[0]


def unread(others: Sequence[str]) -> str:
    """Returns the end of a message about the files that are left out; empty if there are none."""
    are = "is" if len(others) == 1 else "are"
    files = f"{count(len(others), 'file')} {are} not read, not an image in a known format"
    return f"; {files}: {by_suffix(others)}" if others else ""


def find_files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the images and the other files below ``folder``; links to folders are followed once."""

    def refuse(error: OSError) -> None:
        raise DataError(f"cannot read {error.filename!r}: {error.strerror}") from error

    found: list[str] = []
    others: list[str] = []
    seen: set[str] = set()
    for place, inner, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:  # a link to a parent folder would recurse without end
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [name for name in inner if not name.startswith(_SKIPPED)]
        below = os.path.relpath(place, folder).replace(os.sep, "/")
        start = "" if below == "." else f"{below}/"
        for name in names:
            if is_image(name):
                found.append(start + name)
            elif not name.startswith(".") and name.lower() not in _SYSTEM_FILES:
                others.append(start + name)
    return tuple(sorted(found)), tuple(sorted(others))


DATASET = DataSet(
    name="folder",
    load=load,
    recognises=Path.is_dir,
    layout="a folder with one subfolder per emotion, or train/ and test/ with those",
    where="your own",
    terms="Your responsibility: the people shown must have agreed to this use.",
)
