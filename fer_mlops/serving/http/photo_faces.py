"""Faces of a whole photo: detection for ``POST /predict?faces=true``, one photo at a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from PIL import Image

from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images.face_detection import FaceFinder, FoundFace
from fer_mlops.images.reading import gray_photo
from fer_mlops.serving.http.errors import RequestError, busy
from fer_mlops.serving.http.loaded_model import png_uri

MOST_FACES = 64
"""Most faces of a photo that are predicted; the largest are kept."""
_MOST_PHOTOS = 8  # most photos that wait for detection, which takes up to 4 s each
_CROP = 320  # largest side of a returned crop, in pixels


@dataclass(frozen=True)
class PhotoFaces:
    """Faces of one photo."""

    kept: list[FoundFace]
    """The largest faces, from left to right."""
    num_found: int

    def places(self) -> list[dict[str, Any]]:
        """Returns box and crop of each kept face, as fields of the response."""
        return [{"box": list(face.box), "crop": png_uri(_small(face.crop))} for face in self.kept]


class PhotoSearch:
    """Detects faces in a thread of its own, since a large photo takes seconds."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(1, "detect")
        self._num_photos = 0
        self._finder: FaceFinder | None = None
        self._missing = ""
        try:
            self._finder = FaceFinder()
        except ConfigError as error:
            self._missing = str(error)

    @property
    def is_installed(self) -> bool:
        """Whether a detector is installed."""
        return self._finder is not None

    def check(self) -> None:
        """Raises RequestError if no detector is installed (501), or too many photos wait (503)."""
        if not self.is_installed:
            raise RequestError(501, self._missing)
        if self._num_photos >= _MOST_PHOTOS:
            raise busy(f"{self._num_photos} photos wait for face detection already", 5)

    async def find(self, photo: bytes) -> PhotoFaces:
        """Returns the faces of a photo, whose size ``check_images`` has accepted.

        Raises:
            RequestError: The photo cannot be read (400), or ``check`` refuses it.
        """
        self.check()
        self._num_photos += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.thread, self._find, photo)
        finally:
            self._num_photos -= 1

    def _find(self, photo: bytes) -> PhotoFaces:
        assert self._finder is not None
        try:
            found = self._finder.find(gray_photo(photo))
        except DataError as error:
            raise RequestError(400, f"image 1 of 1: {error}") from error
        # widest first
        largest = sorted(found, key=lambda face: face.box[0] - face.box[2])[:MOST_FACES]
        return PhotoFaces(sorted(largest, key=lambda face: face.box), len(found))


def _small(crop: Image.Image) -> Image.Image:
    small = crop.copy()
    small.thumbnail((_CROP, _CROP))
    return small
