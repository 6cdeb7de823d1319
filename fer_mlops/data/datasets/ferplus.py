"""FER+ (arXiv 1608.01041): votes of ten annotators on each face of FER2013.

Layout:
    A folder with ``fer2013new.csv`` (columns ``Usage,Image name,neutral,happiness,surprise,sadness,
    anger,disgust,fear,contempt,unknown,NF``) and, beside it, ``fer2013.csv``, which has the pixels.

Label:
    Majority mode of the paper and of its published code (``src/ferplus.py``): single votes are removed;
    the option with more than half of the remaining votes is the label. A face without such an option is
    left out. A face is also left out if the majority votes for no face (NF) or unknown, or if the image
    has no name, which the authors use to mark images without a face.

Votes:
    Remaining votes (without single ones) for the seven emotions, as shares that sum to 1. Unknown and NF
    are removed; so is contempt, unless ``data.contempt`` counts it as another emotion.

Parts:
    Training, PublicTest and PrivateTest are train, valid and test, as in FER2013.

Traps:
    Row i belongs to row i of ``fer2013.csv``: the numbers in the image names drift and are not used.
    FER2013's own label of each face is kept as column ``fer2013``. People are not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

from fer_mlops.data.csv_reader import Line, read_csv
from fer_mlops.data.datasets import fer2013
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError

VOTES = "fer2013new.csv"
OPTIONS = (*EMOTIONS, "contempt", "unknown", "nf")


def load(path: Path, request: Request) -> FaceTable:
    """Returns the faces of FER2013 with the labels and votes of FER+.

    Raises DataError if a file is missing, or the two differ in their rows.
    """
    folder = path.parent if path.is_file() else path
    pixels = fer2013.find_csv(folder)
    if pixels is None or not (folder / VOTES).is_file():
        raise DataError(
            f"{str(folder)!r} needs {VOTES} and fer2013.csv side by side; get the first from "
            f"https://github.com/microsoft/FERPlus and the second from {fer2013.DATASET.where}"
        )
    root, faces = fer2013.unpack(pixels, request)
    builder = FaceTableBuilder("ferplus", root, request)
    # row i of one file belongs to row i of the other: the numbers in image names drift
    for line, face in zip_longest(read_csv(folder / VOTES, ("usage", "image name", *OPTIONS)), faces):
        if line is None or face is None or line["usage"].lower() != face.usage.lower():
            where = face.where if line is None else f"{VOTES} line {line.number}"
            raise DataError(
                f"{where} has no counterpart: {VOTES} and {pixels.name} must have the same rows in "
                "the same order"
            )
        _add(builder, line, face)
    return builder.table()


def _add(builder: FaceTableBuilder, line: Line, face: fer2013.Fer2013Face) -> None:
    """Adds one face to the table, or counts why it is left out."""
    where = f"{VOTES} line {line.number}"
    part = fer2013.PARTS.get(face.usage.lower())
    try:
        votes = {option: int(line[option] or 0) for option in OPTIONS}
    except ValueError:
        builder.skip("malformed-row", f"{where}: votes are not whole numbers")
        return
    # a single vote is taken for a mistake, as in the authors' code
    counted = {option: count for option, count in votes.items() if count > 1}
    label = majority(counted)
    if part is None:
        builder.skip("malformed-row", f"{where}: unknown Usage {face.usage!r}")
    elif not line["image name"] or label in ("unknown", "nf"):
        builder.skip("not-a-face", face.image)
    elif not label:
        builder.skip("no-majority", face.image)
    elif face.problem:
        builder.skip("unreadable", f"{face.where}: {face.problem}")
    else:
        builder.add(
            face.image,
            label,
            where=where,
            source="ferplus",
            part=part,
            votes=shares(counted, builder.request.config.contempt),
            columns={"fer2013": fer2013.CODES.get(face.emotion, face.emotion)},
            is_there=True,
        )


def majority(votes: Mapping[str, int]) -> str:
    """Returns the option with more than half of the votes; empty if there is none."""
    best = max(votes, key=votes.__getitem__, default="")
    return best if best and 2 * votes[best] > sum(votes.values()) else ""


def shares(votes: Mapping[str, int], contempt: str) -> tuple[float, ...] | None:
    """Returns the share of each of EMOTIONS, summing to 1; None if no emotion has a vote.

    ``contempt`` is the emotion that receives the votes for contempt; any other word drops them.
    """
    more = votes.get("contempt", 0)
    counts = [votes.get(emotion, 0) + more * (emotion == contempt) for emotion in EMOTIONS]
    total = sum(counts)
    return tuple(count / total for count in counts) if total else None


def _recognises(path: Path) -> bool:
    if path.is_file():
        return path.name == VOTES
    return (path / VOTES).is_file()


DATASET = DataSet(
    name="ferplus",
    load=load,
    recognises=_recognises,
    layout="a folder with fer2013new.csv and fer2013.csv side by side",
    where="https://github.com/microsoft/FERPlus, and FER2013 for the pixels",
    terms="The votes are under the MIT licence; the photos remain under the terms of FER2013.",
)
