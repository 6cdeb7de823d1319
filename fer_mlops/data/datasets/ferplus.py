"""FER+ (arXiv 1608.01041): ten people's votes on each face of FER2013.

Layout:
    A folder with ``fer2013new.csv`` (columns ``Usage,Image name,neutral,happiness,surprise,sadness,
    anger,disgust,fear,contempt,unknown,NF``) and, beside it, ``fer2013.csv``, which has the pixels.

Label:
    As the majority mode of the paper and of its published code (``src/ferplus.py``): an option with one
    vote counts as none; the option with more than half of the remaining votes is the label. Where
    none has, the face is left out. So it is where most see no face (NF), cannot tell (unknown), or
    where the image has no name, which is how the authors mark no face.

Votes:
    The remaining votes (those of one taken away) for the seven emotions, as shares that sum to 1.
    Unknown and NF are taken away; so is contempt, unless ``data.contempt`` counts it as another emotion.

Parts:
    Training, PublicTest and PrivateTest are train, valid and test, as in FER2013.

Traps:
    Row i belongs to row i of ``fer2013.csv``: the numbers in the image names run behind after a while,
    and are not used. FER2013's own label of each face is kept as column ``fer2013``. Nobody is named.
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

    Raises:
        DataError: A file is missing, the two differ in their rows, or a row cannot be understood.
    """
    folder = path.parent if path.is_file() else path
    pixels = fer2013.find_csv(folder)
    if pixels is None or not (folder / VOTES).is_file():
        raise DataError(
            f"{str(folder)!r} needs {VOTES} and fer2013.csv side by side; get the first from "
            f"https://github.com/microsoft/FERPlus and the second from {fer2013.DATASET.where}"
        )
    root, faces = fer2013.unpack(pixels, request)
    gathering = FaceTableBuilder("ferplus", root, request)
    for line, face in zip_longest(read_csv(folder / VOTES, ("usage", "image name", *OPTIONS)), faces):
        if line is None or face is None or line["usage"].lower() != face.usage.lower():
            where = face.where if line is None else f"{VOTES} line {line.number}"
            raise DataError(
                f"{where} has no counterpart: {VOTES} and {pixels.name} must have the same rows in "
                "the same order"
            )
        _add(gathering, line, face)
    return gathering.table()


def _add(gathering: FaceTableBuilder, line: Line, face: fer2013.Face) -> None:
    """Takes one face, or notes why it has no place."""
    where = f"{VOTES} line {line.number}"
    part = fer2013.PARTS.get(face.usage.lower())
    try:
        votes = {option: int(line[option] or 0) for option in OPTIONS}
    except ValueError:
        gathering.skip("malformed-row", f"{where}: votes are not whole numbers")
        return
    heard = {option: count for option, count in votes.items() if count > 1}
    label = majority(heard)
    if part is None:
        gathering.skip("malformed-row", f"{where}: unknown Usage {face.usage!r}")
    elif not line["image name"] or label in ("unknown", "nf"):
        gathering.skip("not-a-face", face.image)
    elif not label:
        gathering.skip("no-majority", face.image)
    elif face.problem:
        gathering.skip("unreadable", f"{face.where}: {face.problem}")
    else:
        gathering.add(
            face.image,
            label,
            where=where,
            source="ferplus",
            part=part,
            votes=shares(heard, gathering.request.config.contempt),
            columns={"fer2013": fer2013.CODES.get(face.emotion, face.emotion)},
            is_there=True,
        )


def majority(votes: Mapping[str, int]) -> str:
    """Returns the option with more than half of the votes; empty where none has."""
    best = max(votes, key=votes.__getitem__, default="")
    return best if best and 2 * votes[best] > sum(votes.values()) else ""


def shares(votes: Mapping[str, int], contempt: str) -> tuple[float, ...] | None:
    """Returns the share of each of EMOTIONS, summing to 1; None where none has a vote.

    Args:
        votes: Number of each option that has any.
        contempt: Emotion that votes for contempt count for; any other word, and they do not count.
    """
    counts = [
        votes.get(emotion, 0) + (votes.get("contempt", 0) if emotion == contempt else 0)
        for emotion in EMOTIONS
    ]
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
    terms="The votes are under the MIT licence; the photos stay under the terms of FER2013.",
)
