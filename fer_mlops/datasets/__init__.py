"""Data sets: one file each, one line in DATASETS, ``load(root) -> FaceTable``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from fer_mlops.datasets import csv_file, folder, muxspace, sample
from fer_mlops.datasets.table import FaceTable
from fer_mlops.errors import DataError

__all__ = ["DATASETS", "FaceTable", "load_faces"]

DATASETS: dict[str, Callable[[Path], FaceTable]] = {
    "sample": sample.load,
    "muxspace": muxspace.load,
    "folder": folder.load,
    "csv": csv_file.load,
}


def load_faces(source: str, cache: Path) -> FaceTable:
    """Returns the faces that ``source`` names: ``sample``, or a path whose layout tells its kind.

    A path with ``data/legend.csv`` is Muxspace, a file is a csv, any other folder has one subfolder
    per emotion.

    Args:
        source: ``sample`` or a path.
        cache: Where the drawn sample is kept.

    Raises:
        DataError: There is no such data set or path, or it cannot be read.
    """
    if source == "sample":
        return sample.load(cache)
    path = Path(os.path.abspath(os.path.expanduser(source)))  # noqa: PTH100, PTH111 - Path's keep "..", raise for ~nobody
    if path.is_file():
        return csv_file.load(path)
    if muxspace.is_muxspace(path):
        return muxspace.load(path)
    if path.is_dir():
        return folder.load(path)
    if source in DATASETS:
        raise DataError(f"data set {source!r} needs a path: pass the folder or csv with --data PATH")
    raise DataError(
        f"no data set or path {source!r}; --data takes 'sample', a folder with one subfolder per "
        "emotion, a csv with image,emotion, or a copy of Muxspace"
    )
