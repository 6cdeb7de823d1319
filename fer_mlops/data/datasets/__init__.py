"""Data sets: one file each, one line in DATASETS."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from fer_mlops.data.datasets import (
    affectnet,
    csv_file,
    fer2013,
    ferplus,
    folder,
    jaffe,
    muxspace,
    rafdb,
    sample,
)
from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.relabel import relabel
from fer_mlops.data.table import FaceTable, hash_files
from fer_mlops.errors import DataError, did_you_mean_path

_ALL = (
    sample.DATASET,
    muxspace.DATASET,
    ferplus.DATASET,  # contains FER2013's csv, so it must come first
    fer2013.DATASET,
    rafdb.DATASET,
    affectnet.DATASET,
    jaffe.DATASET,
    # these accept any file or folder, so they come last
    csv_file.DATASET,
    folder.DATASET,
)
DATASETS: dict[str, DataSet] = {dataset.name: dataset for dataset in _ALL}


def load_faces(request: Request) -> FaceTable:
    """Returns the faces of the data set ``request.config.source``.

    The source is ``sample``; a path, recognised by its layout; or ``name:path``, which names the data
    set explicitly. A csv of reviewed labels (``config.relabel``) is applied.

    Raises:
        DataError: There is no such data set or path, or it cannot be read.
    """
    dataset, path = find_data(request.config.source)
    try:
        table = dataset.load(path, request)
        if table.name == sample.DATASET.name and dataset is not sample.DATASET:
            # the name "sample" means drawn faces
            table = replace(table, name=f"sample ({dataset.name})")
        table = replace(table, terms=dataset.terms, contents=hash_files(table.root, table.paths))
    except OSError as error:
        raise DataError(f"cannot read {error.filename or str(path)!r}: {error.strerror}") from error
    return relabel(table, Path(request.config.relabel)) if request.config.relabel else table


def data_name(source: str) -> str:
    """Returns a short name for the value of ``--data``: its last folder or file."""
    name, _, path = source.partition(":")
    return Path(path if name in DATASETS and path else source).name


def find_data(source: str) -> tuple[DataSet, Path]:
    """Returns the data set of a value of ``--data``, and its path, without reading the faces.

    Raises:
        DataError: There is no such data set or path.
    """
    if source == "sample":
        return sample.DATASET, Path()
    name, colon, rest = source.partition(":")
    if colon and name in DATASETS and rest:
        path = _absolute(rest)
        if not path.exists():
            raise DataError(f"no folder or file at {str(path)!r} for data set {name!r}")
        return DATASETS[name], path
    path = _absolute(source)
    try:
        if path.exists():
            for dataset in _ALL:  # a device file matches none of them
                if dataset.recognises(path):
                    return dataset, path
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from error
    if source in DATASETS:
        raise DataError(f"data set {source!r} needs a path: pass the folder or csv with --data PATH")
    if hint := did_you_mean_path(path):
        raise DataError(f"no data set or path {source!r}; {hint}")
    looked = "" if Path(source).is_absolute() else f" (looked in {str(Path.cwd())!r})"
    raise DataError(
        f"no data set or path {source!r}; --data takes 'sample', a folder with one subfolder per "
        f"emotion, a csv with image,emotion, or a data set of 'fer-mlops data list'{looked}"
    )


def _absolute(path: str) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - Path's keep "..", raise for ~nobody
