"""One face: any image to gray pixels of one size.

``open_image`` is the only place that gives bytes to a decoder. ``gray_face`` is the only preprocessing
of pixels in the project: training, evaluation and serving all call it.
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
"""Pillow's name of each format that is read, and the ends of its files' names.

All are decoded by Pillow itself and begin with a signature. Pillow knows others: EPS starts Ghostscript,
and TGA has no signature, so that any bytes may be one.
"""
SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MOST_PIXELS = 200_000_000
"""Most pixels that are decoded of one image; a phone's largest photo has as many."""
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEAD = 16
"""Bytes that tell a file's format."""
_MOST_LETTERS = 160
"""Letters of a name or reason in a message: what a caller takes for a path may be a whole picture."""

Chunk = tuple[NDArray[np.uint8], dict[str, str]]
"""Decoded faces [k, side, side], and by path why some, blank there, cannot be read."""


def gray_face(image: bytes | Path | Image.Image, side: int) -> NDArray[np.uint8]:
    """Returns the face as gray uint8 [side, side]: turned upright by EXIF, whole frame.

    Pillow's antialiased BILINEAR filter resizes it. An encoded JPEG decodes straight to about twice the
    side, which gives slightly other tones than its decoded pixels do.

    Args:
        image: Encoded bytes or the path of an image in one of FORMATS, or an open image.
        side: Pixels.

    Raises:
        DataError: The image cannot be decoded.
    """
    gray = _to_gray(_decoded(image, "L", side))
    return np.asarray(gray.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=3.0), np.uint8)


def gray_photo(image: bytes | Path | Image.Image) -> Image.Image:
    """Returns a whole photo upright in 8-bit gray, at its own size, in the tones of ``gray_face``.

    Raises:
        DataError: The image cannot be decoded.
    """
    gray = _to_gray(_decoded(image, "L"))
    return gray.copy() if gray is image else gray


def colour_photo(image: bytes | Path | Image.Image, side: int | None = None) -> Image.Image:
    """Returns a whole photo upright in RGB, to be drawn on; gray where Pillow would spoil its tones.

    Args:
        image: As for ``gray_face``.
        side: Pixels of the longer side, at most; None for the photo's own size.

    Raises:
        DataError: The image cannot be decoded.
    """
    photo = _decoded(image, "RGB", side)
    is_wide = photo.mode.startswith(("I", "F"))
    colour = (_to_gray(photo) if is_wide else _upright(photo)).convert("RGB")
    if side is not None:
        colour.thumbnail((side, side))
    return colour


@contextmanager
def open_image(image: bytes | Path) -> Iterator[ImageFile.ImageFile]:
    """Gives an image whose header is read, and its pixels not yet.

    Pillow's own ``open`` warns of large photos or refuses them by their header, although a JPEG decodes
    to a fraction of its size.

    Args:
        image: Encoded bytes, or the path of a file.

    Raises:
        OSError: The file cannot be read, or its content is none of FORMATS.
        TypeError: ``image`` is neither bytes nor a Path, such as text that a client sent.
    """
    if not isinstance(image, bytes | Path):
        raise TypeError(f"an image is bytes, a Path or a Pillow image, not {type(image).__qualname__}")
    with io.BytesIO(image) if isinstance(image, bytes) else image.open("rb") as file:
        yield _identified(file if file.seekable() else io.BytesIO(file.read()))


def _identified(file: IO[bytes]) -> ImageFile.ImageFile:
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
    """Yields the formats whose files begin like ``head``, and what opens them."""
    Image.init()
    for name in FORMATS:
        factory, accepts = Image.OPEN[name]
        if accepts is not None and accepts(head) is True:
            yield name, factory


def begins_like_image(content: bytes) -> bool:
    """Returns whether the first bytes are those of one of FORMATS."""
    return any(_openers(content[:_HEAD]))


def from_base64(text: str) -> bytes:
    """Returns the bytes that base64 text, or a ``data:`` address with such text, stands for.

    Raises:
        ValueError: It is no base64.
    """
    bare = text.partition(",")[2] if text.startswith("data:") else text
    return base64.b64decode("".join(bare.split()), validate=True)


def decoded_size(image: Image.Image) -> tuple[int, int]:
    """Returns width and height of what is decoded of an image not loaded yet.

    A tile of a TIFF is decoded whole, however little of it is in the picture.
    """
    tags = getattr(image, "tag_v2", {})
    return max(image.width, tags.get(TILEWIDTH, 0)), max(image.height, tags.get(TILELENGTH, 0))


def check_size(image: Image.Image) -> None:
    """Raises DataError where an image has more pixels than are decoded."""
    width, height = decoded_size(image)
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{width} x {height} pixels are more than the {MOST_PIXELS:,} that are decoded; "
            "scale it down"
        )


def _decoded(image: bytes | Path | Image.Image, mode: str, side: int | None = None) -> Image.Image:
    """Returns the image with its pixels in memory.

    Args:
        image: As for ``gray_face``.
        mode: ``L`` or ``RGB``, which a JPEG decodes to.
        side: Pixels that are wanted; an encoded JPEG decodes to a size of at least twice as many.

    Raises:
        DataError: The image cannot be decoded; one sentence, in which no picture stands.
    """
    try:
        if isinstance(image, Image.Image):
            image.load()
            return image
        with open_image(image) as opened:
            opened.draft(mode, opened.size if side is None else (2 * side, 2 * side))
            check_size(opened)
            with _without_warning(opened):
                opened.load()
            return opened
    except Exception as error:  # a broken file makes a decoder raise anything
        name = repr(_cut(str(image))) if isinstance(image, Path) else "image"
        raise DataError(f"{name} cannot be read as an image: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Returns why an image cannot be decoded, in a few words that name neither file nor buffer."""
    if isinstance(error, Image.DecompressionBombError):
        return "it has more pixels than Pillow decodes of its format; scale it down"
    if isinstance(error, MemoryError):
        return "it takes more memory than there is; scale it down"
    if isinstance(error, OSError) and error.filename is not None:
        return (error.strerror or "OSError") if type(error) is OSError else type(error).__name__
    is_told = str(error) and "object at 0x" not in str(error)
    return _cut(str(error)) if is_told else type(error).__name__


def _cut(text: str) -> str:
    half = _MOST_LETTERS // 2
    return text if len(text) <= _MOST_LETTERS else f"{text[:half]}…{text[-half:]}"


@contextmanager
def _without_warning(image: Image.Image) -> Iterator[None]:
    """Keeps Pillow's warning of large images in; ``check_size`` has let this one pass.

    Filters are the process's own, so they are left alone for all images but those.
    """
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


def orientation_of(image: Image.Image) -> int:
    """Returns how EXIF says that the pixels lie, 1 to 8; 1 is upright, or unknown."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a broken EXIF block costs no face
        return 1


def _upright(image: Image.Image) -> Image.Image:
    """Returns the image turned upright; it must be loaded, as Pillow turns a TIFF while it loads."""
    turn = _TURNS.get(orientation_of(image))
    return image if turn is None else image.transpose(turn)


def _to_gray(image: Image.Image) -> Image.Image:
    """Returns the whole image in 8-bit gray, turned upright by EXIF, transparency on white."""
    upright = _upright(image)
    is_pgm = upright.mode == "I" and image.format == "PPM"  # of 16 bits, which Pillow gives as 32
    if upright.mode.startswith("I;16") or is_pgm:  # which Pillow would clip, not scale
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
