"""Image inputs of the command line: files, folders, videos, cameras and standard input."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from fer_mlops.data.datasets.folder import find_files, unread
from fer_mlops.errors import DataError, no_such
from fer_mlops.images.video import Frame, camera_frames, film_frames, is_film

STDIN, CAMERA = "-", "webcam"
_HEAD = 4096  # bytes of standard input that are inspected to distinguish text from an image


@dataclass(frozen=True)
class ImageInput:
    """One image to predict."""

    name: str
    """Path as given, or ``-`` for standard input; a video frame adds ``@`` and its time in seconds."""
    content: bytes | Path | Image.Image


@dataclass(frozen=True)
class Unread:
    """Files of a folder that were skipped: no images, or of an unknown format."""

    folder: str
    files: str
    """Number of skipped files, with the reason."""

    def __str__(self) -> str:
        return f"below {self.folder!r}{self.files.replace(';', ',', 1)}"


def shown(path: str) -> str:
    """Returns the path as valid UTF-8 text; bytes of its name that are none become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def camera_of(word: str) -> int | None:
    """Returns the camera number that a command-line argument names, or None for a file."""
    kind, colon, number = word.partition(":")
    if kind != CAMERA or (colon and not number.isdigit()) or Path(word).exists():
        return None
    return int(number or 0)


def queries_of(
    images: Iterable[str], stdin: BinaryIO, every: float = 1.0
) -> Iterator[ImageInput | Unread | DataError]:
    """Yields the images that command-line arguments name.

    ``-`` is standard input: one image, or else paths, one a line. ``webcam`` and ``webcam:1`` are this
    machine's cameras.

    ``every`` is the time between two frames of a video or a camera, in seconds.

    Raises:
        DataError: A folder cannot be read, or holds no image.
        ConfigError: An argument is a video or a camera, and PyAV is not installed.
    """
    for word in images:
        if word == STDIN:
            yield from _read_stdin(stdin, every)
        elif (camera := camera_of(word)) is not None:
            yield from _shots(word, camera_frames(camera, every))
        elif _is_missing(word):
            yield DataError(no_such("file or folder", Path(word)))
        else:
            yield from _below(word, every)


def _is_missing(word: str) -> bool:
    try:
        Path(word).stat()
    except FileNotFoundError:
        return True
    except (OSError, ValueError):  # shown as the reason why it cannot be read
        return False
    return False


def _below(word: str, every: float) -> Iterator[ImageInput | Unread | DataError]:
    path = Path(word)
    if not os.path.isdir(word):  # noqa: PTH112 - Path.is_dir raises for invalid names
        if is_film(path):
            yield from _shots(shown(word), film_frames(path, every))
        else:
            yield ImageInput(shown(word), path)
        return
    found, others = find_files(path)
    if not found:
        raise DataError(f"no image below {word!r}{unread(others)}")
    if others:
        yield Unread(word, unread(others))
    for image in found:
        yield ImageInput(shown(str(path / image)), path / image)


def _shots(name: str, frames: Iterator[Frame]) -> Iterator[ImageInput | DataError]:
    try:
        for frame in frames:
            yield ImageInput(f"{name}@{frame.seconds:.2f}s", frame.image)
    except DataError as error:
        yield error


def _read_stdin(stdin: BinaryIO, every: float) -> Iterator[ImageInput | Unread | DataError]:
    head = stdin.read(_HEAD)
    if not _is_text(head):
        yield ImageInput(STDIN, head + stdin.read())
        return
    for line in chain((head + stdin.readline()).splitlines(), stdin):
        word = os.fsdecode(line).rstrip("\r\n")
        if word:
            yield from _below(word, every)


def _is_text(head: bytes) -> bool:
    try:
        # incremental: the last character may be cut in two
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
