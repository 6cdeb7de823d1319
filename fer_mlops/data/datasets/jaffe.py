"""JAFFE (Lyons, Kamachi and Gyoba, 1998): 213 posed faces of ten Japanese women.

Layout:
    One folder of ``KA.AN1.39.tiff``: person, emotion with its take, number.

Labels:
    AN anger, DI disgust, FE fear, HA happiness, NE neutral, SA sadness, SU surprise.

Traps:
    Ten people: a split by identity has two of them to test on, so use folds (``data.folds``). The
    label is what the person was asked to pose; raters saw another expression in a few.
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
_NAME = re.compile(rf"([A-Z]{{2}})\.({'|'.join(CODES)})\d*\.\d+\.+(tiff?|png|jpe?g|bmp)", re.IGNORECASE)


def load(root: Path, request: Request) -> FaceTable:
    """Returns the labelled faces.

    Raises:
        DataError: No file in ``root`` is named as JAFFE's are.
    """
    builder = FaceTableBuilder("jaffe", root, request)
    try:
        names = sorted(name for name in os.listdir(root) if is_image(name))  # noqa: PTH208 - names will do
    except OSError as error:
        raise DataError(f"cannot read {str(root)!r}: {error.strerror}") from error
    for name in names:
        told = _NAME.fullmatch(name)
        if told is None:
            builder.skip("no-label", name)
        else:
            person, code = told.group(1).upper(), told.group(2).upper()
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
