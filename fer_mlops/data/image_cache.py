"""Image cache: decodes the faces of a table once into a uint8 file on disk, which is read by rows."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from joblib import Parallel, delayed

from fer_mlops.data.table import FaceTable, Note
from fer_mlops.errors import DataError
from fer_mlops.files import folder_aside, put
from fer_mlops.images.arrays import CachedImages
from fer_mlops.images.reading import gray_faces
from fer_mlops.metrics.identities import count
from fer_mlops.processes import exit_with_parent
from fer_mlops.progress import Advance, cached, ignore_progress

Read = TypeVar("Read")
_VERSION = 3  # to be raised when decoded pixels change
_MOST_BAD = 5
_CHUNK = 256  # faces that one worker decodes per task
_FEW_CHUNKS = 4


def load_images(
    table: FaceTable,
    side: int,
    cache: Path,
    *,
    skip_bad: bool = False,
    advance: Advance = ignore_progress,
) -> tuple[FaceTable, CachedImages]:
    """Returns the table and its gray faces, row for row.

    The faces are decoded on first use and kept in ``cache`` under a digest of ``side`` and the files'
    names, sizes and modification times.

    Args:
        table: Faces to read.
        side: Side of the square images, in pixels.
        cache: Folder for the decoded images.
        skip_bad: Leave unreadable images out of the returned table, with a note that names them.
        advance: Called with the number of faces just decoded, or found in the cache.

    Raises:
        DataError: An image is unreadable (unless ``skip_bad``), or the cache cannot be written.
    """
    stem = cache / f"pixels-{files_key(table, side)}"
    array, bad_list = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if array.is_file():
        advance(len(table), cached(len(table)))
    else:
        _decode(table, side, array, bad_list, advance)
    bad: dict[str, str] = json.loads(bad_list.read_text(encoding="utf-8"))
    pixels = CachedImages.open(array)
    if not bad:
        return table, pixels
    if not skip_bad:
        listed = "; ".join([bad[path] for path in table.paths if path in bad][:_MOST_BAD])
        more = f"; and {len(bad) - _MOST_BAD} more" if len(bad) > _MOST_BAD else ""
        raise DataError(f"{listed}{more}. Repair them, or leave them out with --on-bad-image skip")
    rows = np.array([i for i, path in enumerate(table.paths) if path not in bad], dtype=np.int64)
    if not len(rows):
        raise DataError(f"none of the {len(table)} images in {str(table.root)!r} can be read")
    names = tuple(sorted(bad))
    text = f"{count(len(bad), 'unreadable image')} left out: {', '.join(names)}"
    note = Note("unreadable", text, names)
    return table.select(rows, note), pixels.take(rows)


def files_key(table: FaceTable, content: object) -> str:
    """Returns a cache key for ``content`` computed from the table's files in their present state.

    Raises DataError if a file is missing.
    """
    root = table.root.resolve()
    state = hashlib.sha256(f"{_VERSION} {content} {root}\n".encode())
    for path in table.paths:
        try:
            stat = os.stat(f"{root}/{path}")  # noqa: PTH116 - Path.stat takes three times as long
            state.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        except OSError as error:
            raise DataError(f"cannot read {str(table.root / path)!r}: {error.strerror}") from error
    return state.hexdigest()[:24]


def _decode(table: FaceTable, side: int, array: Path, bad_list: Path, advance: Advance) -> None:
    """Writes the faces to ``array`` (unreadable ones blank) and the failures to ``bad_list``."""
    bad: dict[str, str] = {}
    try:
        with folder_aside(array.parent) as aside:
            pixels = aside / "pixels.npy"
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(table), side, side)}
            # Written, not memory-mapped: a full disk then raises OSError instead of SIGBUS.
            with pixels.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for faces, failures in read_in_chunks(gray_faces, table, _CHUNK, side):
                    file.write(faces.tobytes())
                    bad |= failures
                    advance(len(faces))
            listing = aside / "bad.json"
            listing.write_text(json.dumps(bad), encoding="utf-8")
            put(listing, bad_list)  # first, so that an array never exists without its list
            put(
                pixels, array
            )  # of two processes that decode at once, the later one replaces equal bytes
    except OSError as error:
        raise DataError(
            f"cannot write decoded faces to {str(array.parent)!r}: {error.strerror}; free space or set "
            "FER_MLOPS_CACHE to another folder"
        ) from error


def read_in_chunks(
    read: Callable[..., Read], table: FaceTable, chunk: int, *arguments: object
) -> Iterator[Read]:
    """Yields ``read(root, paths, *arguments)`` for each chunk of files, in order, using all cores."""
    starts = range(0, len(table), chunk)
    tasks = (delayed(read)(table.root, table.paths[s : s + chunk], *arguments) for s in starts)
    # starting processes takes longer than reading a few chunks
    num_jobs = -1 if len(starts) > _FEW_CHUNKS else 1
    # set when a worker starts, since a worker that never got a task would otherwise outlive us
    watched = {"initializer": exit_with_parent, "initargs": (os.getpid(),)}
    yield from Parallel(n_jobs=num_jobs, return_as="generator", batch_size=1, **watched)(tasks)
