"""Video frames from files and cameras, read with PyAV."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fer_mlops.errors import ConfigError, DataError, needs_extra

KINDS = frozenset(
    (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv")
)
"""File suffixes of videos."""
# FFmpeg's input device, and its name of a camera by number, for each operating system
_CAMERAS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}")}


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    seconds: float
    """Time since the first frame, in seconds."""
    image: Image.Image
    """RGB image, upright."""


def is_film(path: Path) -> bool:
    """Returns whether the file has the suffix of a video."""
    return path.suffix.lower() in KINDS


def film_frames(path: Path, every: float) -> Iterator[Frame]:
    """Yields the first frame of a video, then a frame every ``every`` seconds.

    Raises:
        DataError: The file cannot be read or has no video; for a truncated file, after its last
            readable frame.
        ConfigError: PyAV is not installed.
    """
    yield from _frames(str(path), None, every, repr(str(path)))


def camera_frames(number: int, every: float) -> Iterator[Frame]:
    """Yields a frame of this machine's camera every ``every`` seconds, until the generator is closed.

    Raises:
        DataError: The camera does not exist, or another program uses it.
        ConfigError: Cameras are not supported on this operating system, or PyAV is not installed.
    """
    system = platform.system()
    if system not in _CAMERAS:
        raise ConfigError(
            f"cameras are not supported on {system}; use the page of `fer-mlops serve` instead"
        )
    device, name = _CAMERAS[system]
    yield from _frames(name.format(number), device, every, f"camera {number}")


def _frames(name: str, device: str | None, every: float, shown: str) -> Iterator[Frame]:
    with needs_extra("video", "videos and cameras need PyAV"):
        import av
    try:
        with closing(av.open(name, format=device)) as container:
            if not container.streams.video:
                raise DataError(f"there is no video in {shown}")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            start, due = None, 0.0
            for frame in container.decode(stream):
                time = frame.time or 0.0
                start = time if start is None else start
                if time - start >= due - 1e-6:  # rounding must not skip a frame
                    yield Frame(time - start, _upright(frame))
                    due += every * max(1, (time - start - due) // every + 1)
            if start is None:
                raise DataError(f"there is no frame in {shown}")
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"cannot read {shown}: {error.strerror or error}") from error


def _upright(frame: Any) -> Image.Image:
    image: Image.Image = frame.to_image()
    turn: int = frame.rotation  # degrees counterclockwise, set by a phone that was held upright
    return image.rotate(turn, expand=True) if turn else image
