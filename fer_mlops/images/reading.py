"""Image decoding and preprocessing.

Only ``open_image`` passes bytes to a decoder. ``gray_face`` is the project's only preprocessing of
pixels: training, evaluation and serving all call it.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH

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
"""File suffixes of each supported format, by Pillow's name of the format.

Pillow decodes all of them itself, and their files begin with a signature. Other formats of Pillow are
left out: EPS starts Ghostscript, and TGA has no signature, so any bytes could be TGA.
"""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MOST_PIXELS = 200_000_000
"""Largest number of pixels to decode of an image; a phone's largest photo has as many."""
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEAD = 16  # number of first bytes that identify a file's format
# longest name or reason in a message, because a caller may pass a whole image as a path
_MOST_LETTERS = 160

Chunk = tuple[NDArray[np.uint8], dict[str, str]]
"""Decoded faces [k, side, side], and the reasons for unreadable images by path; their rows are blank."""


def gray_face(image: bytes | Path | Image.Image, side: int) -> NDArray[np.uint8]:
    """Returns the face as gray uint8 [side, side]: upright by EXIF, whole frame.

    Args:
        image: Encoded bytes or path of an image in one of FORMATS, or an open image.
        side: Side of the result, in pixels.

    Raises:
        DataError: The image cannot be decoded.
    """
    gray = _to_gray(_decoded(image, "L", side))
    return np.asarray(gray.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0), np.uint8)


def gray_photo(image: bytes | Path | Image.Image) -> Image.Image:
    """Returns a whole photo upright in 8-bit gray at its own size, converted as in ``gray_face``."""
    gray = _to_gray(_decoded(image, "L"))
    return gray.copy() if gray is image else gray


def colour_photo(image: bytes | Path | Image.Image, side: int | None = None) -> Image.Image:
    """Returns a whole photo upright in RGB, its longer side at most ``side`` pixels.

    Raises:
        DataError: The image cannot be decoded.
    """
    photo = _decoded(image, "RGB", side)
    # Pillow clips 16- and 32-bit values where it converts them to RGB
    is_wide = photo.mode.startswith(("I", "F"))
    colour = (_to_gray(photo) if is_wide else _upright(photo)).convert("RGB")
    if side is not None:
        colour.thumbnail((side, side))
    return colour


@contextmanager
def open_image(image: bytes | Path) -> Iterator[ImageFile.ImageFile]:
    """Yields an image, given as bytes or a path, with its header read, but not its pixels.

    Raises:
        OSError: The file cannot be read, or its format is not in FORMATS.
        TypeError: ``image`` is neither bytes nor a Path, such as text that a client sent.
    """
    if not isinstance(image, bytes | Path):
        raise TypeError(
            f"an image must be bytes, a Path or a Pillow image, not {type(image).__qualname__}"
        )
    with io.BytesIO(image) if isinstance(image, bytes) else image.open("rb") as file:
        yield _identified(file if file.seekable() else io.BytesIO(file.read()))


def _identified(file: IO[bytes]) -> ImageFile.ImageFile:
    # Pillow's own `open` warns of large photos or refuses them by their header, although a JPEG can be
    # decoded at a fraction of its size.
    head = file.read(_HEAD)
    begun = "" if head else "it is empty"
    for name, factory in _openers(head):
        file.seek(0)
        try:
            return factory(file, "")
        except SyntaxError as error:
            begun = begun or f"it begins as {name} does, but {error}"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        raise UnidentifiedImageError("it is HEIC; convert it to JPEG")
    raise UnidentifiedImageError(begun or f"it is none of {', '.join(FORMATS)}")


def _openers(head: bytes) -> Iterator[tuple[str, Callable[[IO[bytes], str], ImageFile.ImageFile]]]:
    """Yields name and open function of each format whose signature matches ``head``."""
    Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(head) is True:
            yield name, factory


def begins_like_image(content: bytes) -> bool:
    """Returns whether the first bytes are the signature of one of FORMATS."""
    return any(_openers(content[:_HEAD]))


def from_base64(text: str) -> bytes:
    """Returns the bytes in base64 text or in a base64 ``data:`` URL; raises ValueError if invalid."""
    bare = text.partition(",")[2] if text.startswith("data:") else text
    return base64.b64decode("".join(bare.split()), validate=True)


def decoded_size(image: Image.Image) -> tuple[int, int]:
    """Returns width and height of the pixels that loading an image will decode."""
    # TIFF tiles are decoded whole, even if they are larger than the image
    tags = getattr(image, "tag_v2", {})
    return max(image.width, tags.get(TILEWIDTH, 0)), max(image.height, tags.get(TILELENGTH, 0))


def check_size(image: Image.Image) -> None:
    """Raises DataError if an image has more than MOST_PIXELS pixels."""
    width, height = decoded_size(image)
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{width} x {height} pixels are more than the limit of {MOST_PIXELS:,}; scale the image down"
        )


def _decoded(image: bytes | Path | Image.Image, mode: str, side: int | None = None) -> Image.Image:
    """Returns the image with its pixels in memory; a JPEG in ``mode``, ``L`` or ``RGB``.

    Raises:
        DataError: The image cannot be decoded; the message contains no image data.
    """
    try:
        if isinstance(image, Image.Image):
            image.load()
            return image
        with open_image(image) as opened:
            # a JPEG decodes faster at twice the final side; its grays differ slightly from a full
            # decoding
            opened.draft(mode, opened.size if side is None else (2 * side, 2 * side))
            check_size(opened)
            with _without_warning(opened):
                opened.load()
            return opened
    except Exception as error:  # decoders raise any exception for a broken file
        name = repr(_cut(str(image))) if isinstance(image, Path) else "image"
        raise DataError(f"{name} cannot be read as an image: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Returns a short reason why an image cannot be decoded, without the name of a file or buffer."""
    if isinstance(error, Image.DecompressionBombError):
        return "it has more pixels than Pillow decodes in its format; scale it down"
    if isinstance(error, MemoryError):
        return "it needs more memory than is free; scale it down"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, OSError) and error.filename is not None:
        return (error.strerror or "OSError") if type(error) is OSError else type(error).__name__
    is_readable = str(error) and "object at 0x" not in str(error)
    return _cut(str(error)) if is_readable else type(error).__name__


def _cut(text: str) -> str:
    half = _MOST_LETTERS // 2
    return text if len(text) <= _MOST_LETTERS else f"{text[:half]}…{text[-half:]}"


@contextmanager
def _without_warning(image: Image.Image) -> Iterator[None]:
    """Silences Pillow's warning of large images; ``check_size`` has accepted this one."""
    # warning filters apply to the whole process, so they are changed for large images only
    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or MOST_PIXELS):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def as_png(face: NDArray[np.uint8]) -> bytes:
    """Returns a gray face uint8 [side, side] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(face).save(buffer, format="PNG")
    return buffer.getvalue()


def gray_faces(root: Path, paths: Sequence[str], side: int) -> Chunk:
    """Returns the faces in files below ``root``, and the reasons for files that could not be read."""
    faces = np.zeros((len(paths), side, side), dtype=np.uint8)
    bad: dict[str, str] = {}
    for number, path in enumerate(paths):
        try:
            faces[number] = gray_face(root / path, side)
        except DataError as error:
            bad[path] = str(error)
    return faces, bad


# Transpose that undoes each EXIF orientation. Pillow's exif_transpose also rewrites the EXIF block, and
# fails if any other tag in it is malformed.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image) -> int:
    """Returns the EXIF orientation of the pixels, 1 to 8; 1 is upright, or unknown."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a broken EXIF block must not make the image unreadable
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Returns a loaded image upright; Pillow rotates a TIFF while loading, so it must be loaded."""
    turn = _TURNS.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def _to_gray(image: Image.Image) -> Image.Image:
    """Returns the whole image in 8-bit gray, upright by EXIF, with transparent pixels on white."""
    upright = _upright(image)
    is_pgm = upright.mode == "I" and image.format == "PPM"  # 16-bit file, which Pillow reads as 32-bit
    if upright.mode.startswith("I;16") or is_pgm:  # Pillow would clip these values, not scale them
        wide = np.asarray(upright, dtype=np.float64)
        upright = Image.fromarray((wide / 257).clip(0, 255).astype(np.uint8))
    elif upright.mode in ("I", "F"):  # 32 bits without a defined white: use the brightest pixel
        wide = np.nan_to_num(np.asarray(upright, dtype=np.float64))
        spread = max(wide.max() - wide.min(), 1e-9)
        upright = Image.fromarray(((wide - wide.min()) * (255 / spread)).astype(np.uint8))
    elif upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        layer = upright.convert("RGBA")
        background = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        upright = Image.alpha_composite(background, layer)
    return upright if upright.mode == "L" else upright.convert("L")
