"""RAF-DB, basic emotions (Li, Deng and Du, CVPR 2017): 15,339 photos labelled by about 40 people each.

Layouts:
    ``EmoLabel/list_patition_label.txt`` (its own spelling; lines ``train_00001.jpg 5``) and
    ``Image/aligned/train_00001_aligned.jpg``, in the folder itself or in ``basic/``. Without the
    aligned crops, ``Image/original`` is read, with a note. ``Annotation/manual``, where
    unpacked, gives columns ``gender``, ``race`` and ``age``.
    ``DATASET/train/5/train_00001_aligned.jpg`` and so on, as re-published by others.

Labels:
    1 surprise, 2 fear, 3 disgust, 4 happiness, 5 sadness, 6 anger, 7 neutral.

Parts:
    The file name's beginning: train (12,271) or test (3,068). There is no validation part.

Traps:
    The label order differs from other data sets and starts at 1. The originals are whole photos, not
    face crops. People are not named. Disgust and fear are rare, so prefer mean recall to accuracy.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from fer_mlops.data.csv_reader import read_words
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.datasets.folder import some_names
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError

_ORDER = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
CODES = {str(code): emotion for code, emotion in enumerate(_ORDER, start=1)}
_LISTS = (Path("EmoLabel") / "list_patition_label.txt", Path("EmoLabel") / "list_partition_label.txt")
_AGAIN = re.compile(r"train_\d+_aligned\.jpg")
# the last three lines of an annotation, with the meaning of each number
_ATTRIBUTES = {
    "gender": ("male", "female", "unsure"),
    "race": ("Caucasian", "African-American", "Asian"),
    "age": ("0-3", "4-19", "20-39", "40-69", "70+"),
}


def load(path: Path, request: Request) -> FaceTable:
    """Returns the labelled faces; raises DataError if the folder has neither layout."""
    found = _find_list(path)
    if found is not None:
        return _load_published(*found, request)
    again = _find_again(path)
    if again is not None:
        return _load_again(again, request)
    raise DataError(
        f"{str(path)!r} has no {_LISTS[0]} with Image/aligned; ask for RAF-DB at {DATASET.where} and "
        "unpack its aligned.zip"
    )


def _find_list(path: Path) -> tuple[Path, Path] | None:
    """Returns the root and its list of labels, or None."""
    places = [(root, root / name) for root in (path, path / "basic") for name in _LISTS]
    return next((place for place in places if place[1].is_file()), None)


def _load_published(root: Path, labels: Path, request: Request) -> FaceTable:
    builder = FaceTableBuilder("rafdb", root, request)
    aligned, original = root / "Image" / "aligned", root / "Image" / "original"
    # with neither folder, the files that are missing are those of Image/aligned
    is_aligned = aligned.is_dir() or not original.is_dir()
    if not is_aligned:
        builder.add_note(
            "faces are read from Image/original, whole photos; unpack Image/aligned.zip for the crops "
            "that published scores are on"
        )
    folder, ending = ("Image/aligned", "_aligned.jpg") if is_aligned else ("Image/original", ".jpg")
    annotations = root / "Annotation" / "manual"
    has_attributes = annotations.is_dir()
    for number, words in read_words(labels):
        where = f"{labels.name} line {number}"
        stem = words[0].removesuffix(".jpg")
        part = stem.partition("_")[0]
        if len(words) != 2 or part not in ("train", "test"):
            problem = f"{where}: expected 'train_00001.jpg 5', got {' '.join(words)!r}"
            builder.skip("malformed-row", problem)
            continue
        builder.add(
            f"{folder}/{stem}{ending}",
            CODES.get(words[1], words[1]),
            where=where,
            source="rafdb",
            part=part,
            columns=_attributes(annotations / f"{stem}_manu_attri.txt") if has_attributes else None,
        )
    return builder.table()


def _attributes(file: Path) -> dict[str, str]:
    """Returns gender, race and age, as far as the annotation has them."""
    if not file.is_file():
        return {}
    # the lines before are landmarks
    codes = [words[0] for _, words in read_words(file)][-len(_ATTRIBUTES) :]
    return {
        name: meanings[int(code)]
        for (name, meanings), code in zip(_ATTRIBUTES.items(), codes, strict=False)
        if code.isdecimal() and int(code) < len(meanings)
    }


def _find_again(path: Path) -> Path | None:
    """Returns the root of the re-published layout, or None."""
    for root in (path / "DATASET", path):
        first = root / "train" / "1"
        if first.is_dir() and any(_AGAIN.fullmatch(name) for name in some_names(first)):
            return root
    return None


def _load_again(root: Path, request: Request) -> FaceTable:
    builder = FaceTableBuilder("rafdb", root, request)
    for part, code in product(("train", "test"), CODES):
        for file in sorted((root / part / code).glob("*.jpg")):
            image = f"{part}/{code}/{file.name}"
            builder.add(image, CODES[code], source="rafdb", part=part, is_there=True)
    return builder.table()


def _recognises(path: Path) -> bool:
    return path.is_dir() and (_find_list(path) is not None or _find_again(path) is not None)


DATASET = DataSet(
    name="rafdb",
    load=load,
    recognises=_recognises,
    layout="a folder with EmoLabel/list_patition_label.txt and Image/aligned/, or basic/ with those",
    where="http://whdeng.cn/RAF/model1.html",
    terms="On request, for non-commercial research and teaching only; photos may not be passed on.",
)
