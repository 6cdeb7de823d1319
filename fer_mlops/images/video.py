"""Frames of films and of a camera, read by PyAV, as photos."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fer_mlops.errors import ConfigError, DataError

KINDS = frozenset(
    (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
)
"""Ends of the names of files that are taken for films."""
_CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}")}
"""System to FFmpeg's input device and what it calls a camera."""


@dataclass(frozen=True)
class Frame:
    """One picture of a film."""

    seconds: float
    """From the film's start, or from when the camera was opened."""
    image: Image.Image
    """RGB, upright."""


def is_film(path: Path) -> bool:
    """Returns whether the name is one of a film."""
    return path.suffix.lower() in KINDS


def film_frames(path: Path, every: float) -> Iterator[Frame]:
    """Yields the first frame of a film, and one each ``every`` seconds from there.

    Raises:
        DataError: The file cannot be read, or holds no film; or it breaks off, after what came before.
        ConfigError: PyAV is not installed.
    """
    yield from _frames(str(path), None, every, repr(str(path)))


def camera_frames(number: int, every: float) -> Iterator[Frame]:
    """Yields a frame of this machine's camera each ``every`` seconds, until it is closed.

    Raises:
        DataError: There is no such camera, or another program has it.
        ConfigError: This system's cameras are not known to us, or PyAV is not installed.
    """
    system = platform.system()
    if system not in _CAMERAS:
        raise ConfigError(
            f"cameras are not read on {system}; open the page of `fer-mlops serve`, which does"
        )
    device, name = _CAMERAS[system]
    yield from _frames(name.format(number), device, every, f"camera {number}")


def _frames(name: str, device: str | None, every: float, shown: str) -> Iterator[Frame]:
    av = _pyav()
    try:
        with closing(av.open(name, format=device)) as container:
            if not container.streams.video:
                raise DataError(f"there is no film in {shown}")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start, due = None, 0.0
            for frame in container.decode(stream):
                time = frame.time or 0.0
                start = time if start is None else start
                if time - start >= due - 1e-6:
                    yield Frame(time - start, _upright(frame))
                    due += every * max(1, (time - start - due) // every + 1)
            if start is None:
                raise DataError(f"there is no frame in {shown}")
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"cannot read {shown}: {error.strerror or error}") from error


def _upright(frame: Any) -> Image.Image:
    image: Image.Image = frame.to_image()
    turn: int = frame.rotation  # of a phone that was held upright, against the clock
    return image.rotate(turn, expand=True) if turn else image


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ConfigError("films and cameras need PyAV: pip install 'fer-mlops[video]'") from error
    return av
