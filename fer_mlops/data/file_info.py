"""File records: format, size, brightness and damage of each image file."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from scipy.ndimage import laplace

from fer_mlops.data.table import FaceTable
from fer_mlops.errors import DataError
from fer_mlops.images.reading import check_size, gray_face, open_image, orientation_of, reason_of
from fer_mlops.progress import Advance, ignore_progress

SIDE = 48  # side, in pixels, of the gray square on which blur, brightness and contrast are measured
MOST_PIXELS = 40_000_000  # largest picture that is decoded; at this size it takes 160 MB
MOST_BYTES = 200_000_000
_CHUNK = 32  # files that one worker reads per task
# formats with frames; the frames of a phone's MPO are one picture in several sizes
_MOVING = frozenset({"GIF", "WEBP", "PNG", "TIFF", "AVIF"})

Problem = Literal["", "unreadable", "truncated", "huge", "refused"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecord:
    """Properties of one file; numbers are 0 if it could not be decoded."""

    problem: Problem = ""
    reason: str = ""
    """Reason for the problem, in the decoder's words."""
    num_bytes: int = 0
    digest: str = ""
    """SHA-256 of the bytes."""
    format: str = ""
    """Format of the content: ``JPEG``, ``WEBP``…"""
    mode: str = ""
    """Pillow's mode: ``L`` gray, ``RGB``, ``CMYK``, ``I;16``…; ``alpha`` if it is transparent."""
    width: int = 0
    height: int = 0
    orientation: int = 1
    """EXIF orientation; 1 is upright."""
    is_moving: bool = False
    chroma: float = 0.0
    """Mean over the face of the largest minus the smallest of red, green and blue, 0 to 255."""
    brightness: float = 0.0
    """Mean of the gray face, 0 to 255."""
    contrast: float = 0.0
    """Standard deviation of the gray face."""
    peak: float = 0.0
    """Maximum of the gray face, or of all pixels of a 16-bit file, as a share of white."""
    sharpness: float = 0.0
    """Log of the Laplacian's variance over the gray face's variance; independent of contrast."""


def read_records(table: FaceTable, advance: Advance = ignore_progress) -> list[FileRecord]:
    """Returns a record of each file of the table, row for row; broken files get one too."""
    chunks = [table.paths[start : start + _CHUNK] for start in range(0, len(table), _CHUNK)]

    def read_chunk(paths: Sequence[str]) -> list[FileRecord]:
        return [read_record(table.root / path) for path in paths]

    records: list[FileRecord] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow warns about odd files, which become findings here
        for some in pool.map(read_chunk, chunks):  # Pillow decodes outside the GIL
            records += some
            advance(len(some))
    return records


def read_record(file: Path) -> FileRecord:
    """Returns the record of one file. Images above MOST_PIXELS are not decoded."""
    num_bytes, digest = 0, ""
    try:
        num_bytes = file.stat().st_size
        if num_bytes > MOST_BYTES:
            return FileRecord(problem="huge", reason=f"{num_bytes:,} bytes", num_bytes=num_bytes)
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        with open_image(content) as image:
            return _describe(image, num_bytes, digest)
    except Exception as error:  # decoders raise any exception on broken files; each is a finding
        text = str(error).lower()
        is_refused = isinstance(error, (DataError, Image.DecompressionBombError))
        is_cut = any(word in text for word in ("truncated", "end of file", "unexpected end"))
        problem: Problem = "refused" if is_refused else "truncated" if is_cut else "unreadable"
        reason = reason_of(error)
        return FileRecord(problem=problem, reason=reason, num_bytes=num_bytes, digest=digest)


def _describe(image: Image.Image, num_bytes: int, digest: str) -> FileRecord:
    """Returns the record of an image that is opened but not decoded yet.

    Raises DataError if the image has more pixels than training decodes.
    """
    # before draft and load, which change size and orientation
    width, height = image.size
    mode, orientation = image.mode, orientation_of(image)
    record = FileRecord(
        num_bytes=num_bytes,
        digest=digest,
        format=image.format or "",
        mode=mode,
        width=width,
        height=height,
    )
    image.draft(None, (2 * SIDE, 2 * SIDE))  # a JPEG decodes at about this size
    check_size(image)
    if width * height > MOST_PIXELS:
        return replace(record, problem="huge", reason=f"{width} x {height} pixels")
    is_moving = record.format in _MOVING and bool(getattr(image, "is_animated", False))
    image.load()
    gray = gray_face(image, SIDE).astype(np.float64)
    wide = np.asarray(image, dtype=np.float64) / 257 if mode.startswith("I;16") else gray
    is_gray = mode == "1" or mode[0] in "LIF"
    small = None if is_gray else image.convert("RGB").resize((SIDE // 2, SIDE // 2), reducing_gap=2.0)
    spread = np.zeros(1) if small is None else np.ptp(np.asarray(small, dtype=np.float64), axis=2)
    is_transparent = mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return replace(
        record,
        mode="alpha" if is_transparent else mode,
        orientation=orientation,
        is_moving=is_moving,
        chroma=float(spread.mean()),
        brightness=float(gray.mean()),
        contrast=float(wide.std()),
        peak=float(wide.max()) / 255,
        sharpness=float(np.log((laplace(gray).var() + 1) / (gray.var() + 1))),
    )
