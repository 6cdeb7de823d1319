"""Arrays of faces, in memory or in an image cache file."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class CachedImages:
    """Decoded faces uint8 [n, side, side] in a file, read-only; reads rows when indexed."""

    def __init__(self, file: _OpenFile, side: int, rows: NDArray[np.int64]) -> None:
        self._file, self._side, self._rows = file, side, rows

    @classmethod
    def open(cls, path: Path) -> CachedImages:
        """Returns all faces in a file that ``load_images`` wrote."""
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            (num, side, _), _, _ = np.lib.format.read_array_header_1_0(file)
            return cls(_OpenFile(os.open(path, os.O_RDONLY), file.tell()), side, np.arange(num))

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self._rows), self._side, self._side

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        # mapped and unmapped at each read, so that resident memory does not grow: training on a million
        # faces takes the memory of one batch
        mapped = mmap.mmap(self._file.descriptor, 0, access=mmap.ACCESS_READ)
        stored = np.frombuffer(mapped, np.uint8, offset=self._file.offset)
        faces: NDArray[np.uint8] = stored.reshape(-1, self._side, self._side)[self._rows[rows]]
        return np.array(faces) if faces.ndim == 2 else faces  # a single row is a view, so copy it

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.uint8]:
        return self[:]

    def take(self, rows: NDArray[np.int64]) -> CachedImages:
        """Returns the faces of these rows without reading them."""
        return CachedImages(self._file, self._side, self._rows[rows])


class _OpenFile:
    """A file that is closed when its last CachedImages is deleted."""

    def __init__(self, descriptor: int, offset: int) -> None:
        self.descriptor, self.offset = descriptor, offset

    def __del__(self) -> None:
        os.close(self.descriptor)


Images = NDArray[np.uint8] | CachedImages
"""Shape [n, side, side]; gray, 0 black to 255 white. Indexing by rows gives an array."""


def take_images(pixels: Images, rows: NDArray[np.int64]) -> Images:
    """Returns the faces of these rows; cached images stay on disk."""
    return pixels.take(rows) if isinstance(pixels, CachedImages) else pixels[rows]
