"""AffectNet (arXiv 1708.03985): photos from three search engines, each labelled by one annotator.

Layouts:
    2017: ``training.csv`` and ``validation.csv`` (columns ``subDirectory_filePath,…,expression,valence,
    arousal``), in the folder itself or in ``Manually_Annotated_file_lists/``, and
    ``Manually_Annotated_Images/``.
    Later: ``train_set/`` and ``val_set/`` with ``images/7.jpg`` and ``annotations/7_exp.npy``.

Labels:
    0 neutral, 1 happiness, 2 sadness, 3 surprise, 4 fear, 5 disgust, 6 anger, 7 contempt; 8 none,
    9 uncertain and 10 no face are left out. ``data.contempt`` drops contempt (the seven classes of
    published scores) or counts it as another emotion.

Parts:
    The publisher does not release the labels of its test set; published scores are on its validation
    set, which is therefore part ``test`` here. Validation faces come from train.

Traps:
    Half of the training set is happiness; the published validation set is balanced. Images of 2017 are
    loose crops: the face box of the csv is not applied. People are not named. Valence and arousal, -1 to
    1 (-2 if unknown), are kept as columns. Automatically annotated images are not read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from fer_mlops.data.csv_reader import read_csv
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError

_ORDER = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
CODES = {str(code): emotion for code, emotion in enumerate(_ORDER)}
NO_FACE = frozenset({"8", "9", "10"})
_LISTS = {"training.csv": "train", "validation.csv": "test"}
_LIST_PLACES = (Path(), Path("Manually_Annotated_file_lists"), Path("Manually_Annotated"))
_IMAGE_PLACES = (
    Path("Manually_Annotated_Images"),
    Path("Manually_Annotated") / "Manually_Annotated_Images",
)
_SETS = {"train_set": "train", "val_set": "test"}
_MAGIC = b"\x93NUMPY\x01\x00"
_REMARK = "part test is AffectNet's validation set, since its test labels are not published"


def load(path: Path, request: Request) -> FaceTable:
    """Returns the labelled faces of either layout; raises DataError if the folder has neither."""
    builder = FaceTableBuilder("affectnet", path, request)
    lists, images = _find_lists(path), _find_images(path)
    if lists and images is not None:
        for file, part in lists.items():
            _add_list(builder, path / file, images, part)
    elif _has_sets(path):
        for folder, part in _SETS.items():
            if (path / folder / "annotations").is_dir():
                _add_set(builder, folder, part)
    else:
        raise DataError(
            f"{str(path)!r} has neither training.csv with Manually_Annotated_Images/ nor train_set/ "
            f"with images/ and annotations/; ask for AffectNet at {DATASET.where}"
        )
    builder.add_note(_REMARK)
    return builder.table()


def _add_list(builder: FaceTableBuilder, file: Path, images: Path, part: str) -> None:
    for line in read_csv(file, ("subdirectory_filepath", "expression")):
        image = line["subdirectory_filepath"]
        columns = {name: line[name] for name in ("valence", "arousal") if name in line}
        path, where = f"{images.as_posix()}/{image}" if image else "", f"{file.name} line {line.number}"
        _add(builder, path, line["expression"], where=where, part=part, columns=columns)


def _add_set(builder: FaceTableBuilder, folder: str, part: str) -> None:
    annotations = builder.root / folder / "annotations"
    # listed once, instead of asking the disk for each of a million files
    names = set(os.listdir(annotations))  # noqa: PTH208 - only names are needed
    labelled = set()
    for name in sorted(names):
        if not name.endswith("_exp.npy"):
            continue
        stem = name.removesuffix("_exp.npy")
        labelled.add(f"{stem}.jpg")
        try:
            code = _read_value(f"{annotations}/{name}")
            columns = {
                column: _read_value(f"{annotations}/{stem}{ending}")
                for column, ending in (("valence", "_val.npy"), ("arousal", "_aro.npy"))
                if f"{stem}{ending}" in names
            }
        except ValueError as error:
            builder.skip("malformed-row", f"{folder}/annotations/{name}: {error}")
            continue
        image = f"{folder}/images/{stem}.jpg"
        _add(builder, image, code, where=f"{folder}/annotations/{name}", part=part, columns=columns)
    images = builder.root / folder / "images"
    for image in sorted({path.name for path in images.glob("*.jpg")} - labelled):
        builder.skip("no-label", f"{folder}/images/{image}")


def _add(
    builder: FaceTableBuilder,
    image: str,
    code: str,
    *,
    where: str,
    part: str,
    columns: Mapping[str, str],
) -> None:
    if code in NO_FACE:
        builder.skip("not-a-face", image)
    else:
        emotion = CODES.get(code, code)
        builder.add(image, emotion, where=where, source="affectnet", part=part, columns=columns)


def _read_value(file: str) -> str:
    """Returns the single value in a npy file, text or a number, as text.

    Raises ValueError if the file is not npy version 1, or holds Python objects.
    """
    with open(file, "rb") as opened:  # noqa: PTH123 - faster, for a million files
        content = opened.read()
    if not content.startswith(_MAGIC):
        raise ValueError("not a npy file")
    start = 10 + int.from_bytes(content[8:10], "little")
    return str(np.frombuffer(content, _kind_of(content[8:start]), 1, start)[0]).strip()


# numpy.load parses each header again, which takes minutes for a million files with few different ones
@lru_cache(maxsize=64)
def _kind_of(header: bytes) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.lib.format.read_array_header_1_0(BytesIO(header))[2]
    return kind


def _find_lists(root: Path) -> dict[Path, str]:
    """Returns the label lists, relative to ``root``, with the part of each."""
    return next(
        (
            {place / name: part for name, part in _LISTS.items() if (root / place / name).is_file()}
            for place in _LIST_PLACES
            if any((root / place / name).is_file() for name in _LISTS)
        ),
        {},
    )


def _find_images(root: Path) -> Path | None:
    return next((place for place in _IMAGE_PLACES if (root / place).is_dir()), None)


def _has_sets(root: Path) -> bool:
    return any(
        (root / name / "annotations").is_dir() and (root / name / "images").is_dir() for name in _SETS
    )


def _recognises(path: Path) -> bool:
    return path.is_dir() and (
        _has_sets(path) or (_find_images(path) is not None and bool(_find_lists(path)))
    )


DATASET = DataSet(
    name="affectnet",
    load=load,
    recognises=_recognises,
    layout="training.csv, validation.csv and Manually_Annotated_Images/, or train_set/ and val_set/",
    where="http://mohammadmahoor.com/pages/databases/affectnet/",
    terms="For research only; a lab's head signs the agreement. Photos may not be passed on.",
)
