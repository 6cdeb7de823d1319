"""One face: any image to gray pixels of one size.

``gray_face`` is the only preprocessing of pixels in the project: training, evaluation and serving all
call it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from fer_mlops.errors import DataError

FORMATS: Mapping[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
}
"""Pillow's name of each format that is read, and the ends of its files' names.

All are decoded by Pillow itself and begin with a signature. Pillow knows others: EPS starts Ghostscript,
and TGA has no signature, so that any bytes may be one.
"""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)

Chunk = tuple[NDArray[np.uint8], dict[str, str]]
"""Decoded faces [k, side, side], and by path why some, blank there, cannot be read."""


def gray_face(image: bytes | Path | Image.Image, side: int) -> NDArray[np.uint8]:
    """Returns the face as gray uint8 [side, side]: turned upright by EXIF, whole frame, area-averaged.

    Args:
        image: Encoded bytes or the path of any format Pillow reads, or an open image.
        side: Pixels.

    Raises:
        DataError: The image cannot be decoded.
    """
    with _opened(image) as opened:
        if opened is not image:
            opened.draft("L", (2 * side, 2 * side))  # a JPEG decodes straight to about this size
        small = _to_gray(opened).resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0)
        return np.asarray(small, dtype=np.uint8)


def gray_photo(image: bytes | Path | Image.Image) -> Image.Image:
    """Returns a whole photo upright in 8-bit gray, at its own size, in the tones of ``gray_face``.

    Raises:
        DataError: The image cannot be decoded.
    """
    with _opened(image) as opened:
        gray = _to_gray(opened)
        return gray.copy() if gray is opened else gray  # which may be about to be closed


def colour_photo(image: bytes | Path | Image.Image) -> Image.Image:
    """Returns a whole photo upright in RGB, to be drawn on; gray where Pillow would spoil its tones.

    Raises:
        DataError: The image cannot be decoded.
    """
    with _opened(image) as opened:
        is_wide = opened.mode.startswith(("I", "F"))
        return (_to_gray(opened) if is_wide else _upright(opened)).convert("RGB")


@contextmanager
def _opened(image: bytes | Path | Image.Image) -> Iterator[Image.Image]:
    """Gives the image to read, and says in one sentence what Pillow says while it is read."""
    try:
        if isinstance(image, Image.Image):
            yield image
        else:
            with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
                yield opened
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        name = repr(str(image)) if isinstance(image, Path) else "image"
        # Pillow may name the file again, or a buffer's address: then its kind of error tells as much
        repeats = (isinstance(image, Path) and name in str(error)) or "object at 0x" in str(error)
        reason = type(error).__name__ if repeats or not str(error) else str(error)
        raise DataError(f"{name} cannot be read as an image: {reason}") from error


def gray_faces(root: Path, paths: Sequence[str], side: int) -> Chunk:
    """Returns the faces of files below ``root``, and why some could not be read."""
    faces = np.zeros((len(paths), side, side), dtype=np.uint8)
    bad: dict[str, str] = {}
    for number, path in enumerate(paths):
        try:
            faces[number] = gray_face(root / path, side)
        except DataError as error:
            bad[path] = str(error)
    return faces, bad


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


def _upright(image: Image.Image) -> Image.Image:
    turn = None
    if "exif" in image.info or image.format not in ("JPEG", "PNG", "WEBP"):  # looking takes time
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_gray(image: Image.Image) -> Image.Image:
    """Returns the whole image in 8-bit gray, turned upright by EXIF, transparency on white."""
    upright = _upright(image)
    if upright.mode.startswith("I;16"):  # which Pillow would clip, not scale
        wide = np.asarray(upright, dtype=np.float64)
        upright = Image.fromarray((wide / 257).clip(0, 255).astype(np.uint8))
    elif upright.mode in ("I", "F"):  # 32 bits, whose white nobody states: the brightest pixel
        wide = np.nan_to_num(np.asarray(upright, dtype=np.float64))
        spread = max(wide.max() - wide.min(), 1e-9)
        upright = Image.fromarray(((wide - wide.min()) * (255 / spread)).astype(np.uint8))
    elif upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(ground, layer)
    return upright if upright.mode == "L" else upright.convert("L")
