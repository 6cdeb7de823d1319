"""Muxspace facial_expressions: https://github.com/muxspace/facial_expressions

Layout: ``images/*.jpg`` and ``data/legend.csv`` with columns ``user.id,image,emotion``. The data set
combines two sources: Labeled Faces in the Wild (gray), and colour crops of a few film actors, whose
rows have UPPERCASE labels and annotator ``jhamski``. File names are ``Person_Name_0001.jpg``.
"""

from __future__ import annotations

import re
from pathlib import Path

from fer_mlops.data.csv_reader import read_csv
from fer_mlops.data.datasets.base import COMMIT_FILE, DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError

LEGEND = Path("data") / "legend.csv"
_NUMBER = re.compile(r"_?\d+[a-z]?\.\w+$")


def is_muxspace(root: Path) -> bool:
    """Returns whether ``root`` has Muxspace's layout."""
    return (root / LEGEND).is_file() and (root / "images").is_dir()


def identity_of(image: str) -> str:
    """Returns the person in a file name: the text before its number (``Tony_Blair_0090.jpg``)."""
    return _NUMBER.sub("", image)


def load(root: Path, request: Request) -> FaceTable:
    """Returns the labelled faces; contempt and unlabelled files are left out and counted.

    Raises DataError if the folder or legend is missing or malformed.
    """
    if not is_muxspace(root):
        raise DataError(
            f"{str(root)!r} has no images/ and data/legend.csv; get Muxspace with 'fer-mlops data "
            "download muxspace' and pass its folder with --data"
        )
    builder = FaceTableBuilder("muxspace", root, request)
    if (root / COMMIT_FILE).is_file():
        builder.add_note(f"downloaded at commit {(root / COMMIT_FILE).read_text(encoding='utf-8')}")
    # listed once, instead of asking the disk for each of 13,000 files
    files = {path.name for path in (root / "images").iterdir()}
    seen = set()
    for line in read_csv(root / LEGEND, ("user.id", "image", "emotion")):
        image, annotator = line["image"], line["user.id"]
        seen.add(image)
        builder.add(
            f"images/{image}" if image else "",
            line["emotion"],
            where=f"{LEGEND} line {line.number}",
            identity=identity_of(image),
            source="actors" if annotator == "jhamski" else "lfw",
            columns={"annotator": annotator},
            is_there=image in files,
        )
    for image in sorted(files - seen):
        builder.skip("no-label", f"images/{image}")
    return builder.table()


DATASET = DataSet(
    name="muxspace",
    load=load,
    recognises=is_muxspace,
    layout="a folder with images/ and data/legend.csv",
    where="fer-mlops data download muxspace, or https://github.com/muxspace/facial_expressions",
    terms="The repository states Apache-2.0, but does not own its press photos: research only.",
)
