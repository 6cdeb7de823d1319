"""JAFFE (Lyons, Kamachi and Gyoba, 1998): 213 posed faces of ten Japanese women.

Layout:
    One folder of files like ``KA.AN1.39.tiff``: person, emotion and take, number.

Labels:
    AN anger, DI disgust, FE fear, HA happiness, NE neutral, SA sadness, SU surprise.

Traps:
    Ten people only: a split by identity has two of them to test on, so use folds (``data.folds``). The
    label is the requested pose; raters saw another expression in a few images.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.builder import FaceTableBuilder
from fer_mlops.data.datasets.folder import is_image, some_names
from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError

CODES = {
    "AN": "anger",
    "DI": "disgust",
    "FE": "fear",
    "HA": "happiness",
    "NE": "neutral",
    "SA": "sadness",
    "SU": "surprise",
}
# some names have two dots before the suffix
_NAME = re.compile(rf"([A-Z]{{2}})\.({'|'.join(CODES)})\d*\.\d+\.+(tiff?|png|jpe?g|bmp)", re.IGNORECASE)


def load(root: Path, request: Request) -> FaceTable:
    """Returns the labelled faces; raises DataError if no file in ``root`` has a JAFFE name."""
    builder = FaceTableBuilder("jaffe", root, request)
    try:
        names = sorted(name for name in os.listdir(root) if is_image(name))  # noqa: PTH208 - only names needed
    except OSError as error:
        raise DataError(f"cannot read {str(root)!r}: {error.strerror}") from error
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            builder.skip("no-label", name)
        else:
            person, code = match.group(1).upper(), match.group(2).upper()
            builder.add(name, CODES[code], identity=person, source="jaffe", is_there=True)
    return builder.table()


def _recognises(path: Path) -> bool:
    return path.is_dir() and any(_NAME.fullmatch(name) for name in some_names(path))


DATASET = DataSet(
    name="jaffe",
    load=load,
    recognises=_recognises,
    layout="a folder of KA.AN1.39.tiff and so on",
    where="https://zenodo.org/records/3451524",
    terms="On request, for non-commercial research only, with the article cited.",
)
