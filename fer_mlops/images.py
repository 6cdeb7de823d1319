"""FaceTable to one uint8 array on disk: decoded, grayed and resized once, memory-mapped after.

``gray_face`` is the only preprocessing of pixels in the project: training, evaluation and serving all
call it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from fer_mlops.datasets.table import FaceTable
from fer_mlops.errors import DataError

Pixels = NDArray[np.uint8]
"""Shape [n, side, side]; gray, 0 black to 255 white."""
Advance = Callable[[int], None]
"""Called with the number of things just done, for a progress bar."""

_VERSION = 1
_MOST_BAD = 5


def ignore_progress(_: int) -> None:
    """Takes progress and shows nothing."""


def gray_face(image: bytes | Path | Image.Image, side: int) -> NDArray[np.uint8]:
    """Returns the face as gray uint8 [side, side]: turned upright by EXIF, whole frame, area-averaged.

    Args:
        image: Encoded bytes or the path of any format Pillow reads, or an open image.
        side: Pixels.

    Raises:
        DataError: The image cannot be decoded.
    """
    try:
        if isinstance(image, Image.Image):
            return _gray(image, side)
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
            opened.draft("L", (2 * side, 2 * side))  # a JPEG decodes straight to about this size
            return _gray(opened, side)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        name = repr(str(image)) if isinstance(image, Path) else "image"
        # Pillow may name the file again, or a buffer's address: then its kind of error tells as much
        repeats = (isinstance(image, Path) and name in str(error)) or "object at 0x" in str(error)
        reason = type(error).__name__ if repeats or not str(error) else str(error)
        raise DataError(f"{name} cannot be read as an image: {reason}") from error


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what undoes it. Pillow's own exif_transpose also rewrites the EXIF block, and
fails where any other tag in it is malformed."""


def _gray(image: Image.Image, side: int) -> NDArray[np.uint8]:
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    upright = image if turn is None else image.transpose(turn)
    if upright.mode.startswith("I"):  # 16-bit gray, which Pillow would clip, not scale
        wide = np.asarray(upright, dtype=np.float64)
        upright = Image.fromarray((wide / 257).clip(0, 255).astype(np.uint8))
    elif upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(ground, layer)
    small = upright.convert("L").resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(small, dtype=np.uint8)


def load_pixels(
    table: FaceTable,
    side: int,
    cache: Path,
    *,
    skip_bad: bool = False,
    advance: Advance = ignore_progress,
) -> tuple[FaceTable, Pixels]:
    """Returns the table and its faces, read-only and memory-mapped, row for row.

    The array is decoded on first use and kept in ``cache`` under a digest of the files' names, sizes
    and times and of ``side``; it appears whole or not at all.

    Args:
        table: Faces to read.
        side: Pixels.
        cache: Folder for the arrays.
        skip_bad: Leave unreadable images out of the returned table, with a note that names them.
        advance: Told the number of faces just decoded.

    Raises:
        DataError: An image is unreadable (unless ``skip_bad``), or the cache cannot be written.
    """
    stem = cache / f"pixels-{_key(table, side)}"
    array, bad_list = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not array.is_file():
        _decode(table, side, array, bad_list, advance)
    bad: dict[str, str] = json.loads(bad_list.read_text(encoding="utf-8"))
    pixels: Pixels = np.load(array, mmap_mode="r")
    if not bad:
        return table, pixels
    if not skip_bad:
        listed = "; ".join([bad[path] for path in table.paths if path in bad][:_MOST_BAD])
        more = f"; and {len(bad) - _MOST_BAD} more" if len(bad) > _MOST_BAD else ""
        raise DataError(f"{listed}{more}. Mend them, or leave them out with --on-bad-image skip")
    rows = np.array([i for i, path in enumerate(table.paths) if path not in bad], dtype=np.int64)
    if not len(rows):
        raise DataError(f"none of the {len(table)} images in {str(table.root)!r} can be read")
    note = f"{len(bad)} unreadable images left out: {', '.join(sorted(bad))}"
    return table.select(rows, note), pixels[rows]


def _key(table: FaceTable, side: int) -> str:
    state = hashlib.sha256(f"{_VERSION} {side} {table.root.resolve()}\n".encode())
    for path in table.paths:
        try:
            stat = (table.root / path).stat()
            state.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
        except OSError as error:
            raise DataError(f"cannot read {str(table.root / path)!r}: {error.strerror}") from error
    return state.hexdigest()[:24]


def _decode(table: FaceTable, side: int, array: Path, bad_list: Path, advance: Advance) -> None:
    """Writes the decoded faces to ``array`` and the unreadable ones, blank there, to ``bad_list``."""
    bad: dict[str, str] = {}

    def decode(path: str) -> NDArray[np.uint8]:
        try:
            return gray_face(table.root / path, side)
        except DataError as error:
            bad[path] = str(error)
            return np.zeros((side, side), dtype=np.uint8)

    try:
        array.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=array.parent, prefix="decoding-") as aside:
            whole = Path(aside) / "pixels.npy"
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(table), side, side)}
            # Written, not memory-mapped: on a full disk that is an OSError, and no SIGBUS.
            with whole.open("wb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
                np.lib.format.write_array_header_1_0(file, header)
                for face in pool.map(decode, table.paths):  # Pillow decodes outside the GIL
                    file.write(face.tobytes())
                    advance(1)
            listing = Path(aside) / "bad.json"
            listing.write_text(json.dumps(bad), encoding="utf-8")
            listing.replace(bad_list)  # first, so that an array never stands without its list
            whole.replace(array)
    except OSError as error:
        raise DataError(
            f"cannot write decoded faces to {str(array.parent)!r}: {error.strerror}; free space or set "
            "FER_MLOPS_CACHE to another folder"
        ) from error


def cache_folder() -> Path:
    """Returns where decoded faces, the drawn sample and checkpoints are kept.

    ``FER_MLOPS_CACHE`` if set, else ``~/.cache/fer_mlops``.
    """
    chosen = os.environ.get("FER_MLOPS_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "fer_mlops"
