"""FER2013 (arXiv 1307.0414): 35,887 gray faces of 48 x 48 pixels, from a Kaggle challenge.

Layouts:
    ``fer2013.csv`` or ``icml_face_data.csv``, or a folder with one: columns ``emotion`` (0 to 6: anger,
    disgust, fear, happiness, sadness, surprise, neutral), ``pixels`` (2,304 numbers) and ``Usage``. It
    is unpacked once into PNG files in the cache; ``train/00007.png`` is row 7 of the csv, from 0.
    A folder with ``train/angry/Training_3908.jpg`` and so on, as re-published by others.

Parts:
    Training, PublicTest and PrivateTest are train, valid and test. Published scores are on PrivateTest.

Traps:
    The folder layout's ``test/`` mixes PublicTest and PrivateTest; the part is read from the file names
    instead. People are not named, so each image counts as one person, though about one image in six is
    an exact or near duplicate of another, also across parts. Labels come from search terms and were
    corrected quickly: people agree with about two in three.
"""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from fer_mlops.data.csv_reader import Line, read_csv
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.datasets.folder import emotion_folders, some_names
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError
from fer_mlops.files import make_once

_ORDER = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
CODES = {str(code): emotion for code, emotion in enumerate(_ORDER)}
PARTS = {"training": "train", "publictest": "valid", "privatetest": "test", "": ""}
SIDE = 48  # side of a face, in pixels
_FILES = ("fer2013.csv", "icml_face_data.csv")
_PUBLISHED = re.compile(r"(Training|PublicTest|PrivateTest)_\d+\.\w+", re.IGNORECASE)
_INDEX = "index.csv"
_INDEXED = ("line", "image", "emotion", "usage", "problem")  # in the order of Fer2013Face
_ROW_BYTES = 8400  # approximate size of a csv row, for the progress bar
_VERSION = 1  # to be raised when the unpacked files change


@dataclass(frozen=True, slots=True)
class Fer2013Face:
    """One row of the csv, unpacked."""

    where: str
    """Name of the row in messages, such as ``fer2013.csv line 4``."""
    image: str
    """Path relative to the unpacked folder."""
    emotion: str
    usage: str
    """Training, PublicTest or PrivateTest, as written in the csv."""
    problem: str
    """Reason why there is no image; empty if there is one."""


def load(path: Path, request: Request) -> FaceTable:
    """Returns the labelled faces of the csv or folder at ``path``; raises DataError if it is neither."""
    file = find_csv(path)
    if file is None:
        return _load_folders(path, request)
    root, faces = unpack(file, request)
    builder = FaceTableBuilder("fer2013", root, request)
    for face in faces:
        part = PARTS.get(face.usage.lower())
        if part is None:
            builder.skip("malformed-row", f"{face.where}: unknown Usage {face.usage!r}")
        elif face.problem:
            builder.skip("unreadable", f"{face.where}: {face.problem}")
        else:
            builder.add(
                face.image,
                CODES.get(face.emotion, face.emotion),
                where=face.where,
                source="fer2013",
                part=part,
                is_there=True,
            )
    return builder.table()


def find_csv(path: Path) -> Path | None:
    """Returns the csv of pixels that ``path`` is or holds, or None."""
    if path.is_file():
        return path
    places = [path / name for name in _FILES] + [path / "fer2013" / name for name in _FILES]
    return next((place for place in places if place.is_file()), None)


def unpack(file: Path, request: Request) -> tuple[Path, list[Fer2013Face]]:
    """Returns the folder that ``file`` is unpacked into, and its rows in the csv's order."""
    try:
        stat = file.stat()
    except OSError as error:
        raise DataError(f"cannot read {str(file)!r}: {error.strerror}") from error
    key = f"{_VERSION}\0{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}"
    folder = request.cache / f"fer2013-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    make_once(folder, lambda aside: _draw(file, aside, request))
    faces = [
        Fer2013Face(f"{file.name} line {row['line']}", *(row[name] for name in _INDEXED[1:]))
        for row in read_csv(folder / _INDEX, _INDEXED)
    ]
    return folder, faces


def _draw(file: Path, folder: Path, request: Request) -> None:
    """Writes the faces of ``file`` as PNG files, and an index of its rows."""
    for part in PARTS.values():
        (folder / (part or "faces")).mkdir()
    advance = request.progress(f"unpacking {file.name}", file.stat().st_size // _ROW_BYTES)
    with (folder / _INDEX).open("w", encoding="utf-8", newline="") as index:
        writer = csv.writer(index)
        writer.writerow(_INDEXED)
        for row, line in enumerate(read_csv(file, ("emotion", "pixels"))):
            usage = line.get("usage", "")
            image = f"{PARTS.get(usage.lower(), '') or 'faces'}/{row:05}.png"
            problem = _draw_face(line, folder / image)
            writer.writerow((line.number, image, line["emotion"], usage, problem))
            advance(1)


def _draw_face(line: Line, path: Path) -> str:
    """Writes one face and returns empty text, or returns why the row has no image."""
    try:
        pixels = bytes(map(int, line["pixels"].split()))
    except ValueError:
        return "pixels are not numbers from 0 to 255"
    if len(pixels) != SIDE * SIDE:
        return f"{len(pixels)} pixels, not {SIDE} x {SIDE}"
    Image.frombytes("L", (SIDE, SIDE), pixels).save(path, compress_level=1)
    return ""


def _load_folders(root: Path, request: Request) -> FaceTable:
    if not _has_folders(root):
        raise DataError(
            f"{str(root)!r} has no {_FILES[0]}, and no train/angry/Training_1.jpg and so on; get "
            f"FER2013 from {DATASET.where}"
        )
    builder = FaceTableBuilder("fer2013", root, request)
    for folder in emotion_folders(root):
        for other in folder.others:
            builder.skip("not-read", f"{folder.path}/{other}")
        for image in folder.images:
            match = _PUBLISHED.fullmatch(image)
            builder.add(
                f"{folder.path}/{image}",
                folder.emotion,
                source="fer2013",
                part=PARTS[match.group(1).lower()] if match else folder.part,
            )
    return builder.table()


def _has_folders(root: Path) -> bool:
    folders = islice(root.glob("train/*/"), 10)  # any folder of the user's may have millions
    return any(_PUBLISHED.fullmatch(name) for folder in folders for name in some_names(folder))


def _recognises(path: Path) -> bool:
    if path.is_file():
        return path.name in _FILES
    return find_csv(path) is not None or _has_folders(path)


DATASET = DataSet(
    name="fer2013",
    load=load,
    recognises=_recognises,
    layout="fer2013.csv or icml_face_data.csv, a folder with one, or train/angry/Training_1.jpg …",
    where="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
    terms="Made for the challenge under Kaggle's rules; its photos were found on the web and belong to "
    "others: research only.",
)
