"""Faces in whole photos: found by dlib, cut out as the classifier's training faces were."""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from fer_mlops.errors import ConfigError

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the upright photo; it may reach beyond its edge."""

_ENLARGED = 2.0
"""dlib's finder sees faces from 80 pixels on, so small photos are enlarged to show it those of 40."""
_LONGEST = 4000
"""Pixels of a photo's longer side beyond which it is shrunk instead."""
_LOWEST = 0.0
"""Score from which something is a face: dlib's own. Below it, folds of cloth are faces too."""
_SIDE, _RAISED = 1.1, 0.08
"""The crop's side, and how far its middle is above the found box's, in sides of that box. These and
the degrees below had the best accuracy on validation faces pasted into photos (benchmarks/faces.py)."""
_TURNS = {3: -20.0, 4: 20.0}
"""Degrees, against the clock, that bring a face upright which one of dlib's two detectors of tilted
faces found. Turning by the eyes' landmarks was no better and takes another 100 MB."""
_MARGIN = 0.2
"""Of the side, that a square turned by those degrees needs around it."""


@dataclass(frozen=True)
class FoundFace:
    """A face in a photo."""

    box: Box
    """A square, upright even where the face was turned."""
    crop: Image.Image
    """Gray and brought upright; what lies beyond the photo's edge repeats the edge."""


class FaceFinder:
    """dlib's frontal face detector: HOG under a linear SVM, whose weights are part of dlib."""

    def __init__(self) -> None:
        """Raises ConfigError where dlib is not installed."""
        try:
            import dlib
        except ImportError as error:
            raise ConfigError("finding faces needs dlib: pip install 'fer-mlops[face]'") from error
        self._detector: Any = dlib.get_frontal_face_detector()
        self._turn = Lock()  # it keeps the photo it works on, so one at a time

    def find(self, photo: Image.Image) -> list[FoundFace]:
        """Returns the frontal faces of a gray photo, tilted by up to some 30 degrees, left to right.

        Those of 40 pixels and more, in photos of up to 2,000 pixels on the longer side; in larger
        ones, of a fiftieth of that side.
        """
        scale = min(_ENLARGED, _LONGEST / max(photo.size))
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        wide = np.asarray(photo.resize(size, Image.Resampling.BICUBIC))
        with self._turn:
            rectangles, _, kinds = self._detector.run(wide, 0, _LOWEST)
        found = []
        for one, kind in zip(rectangles, kinds, strict=True):
            degrees = _TURNS.get(kind, 0.0)
            box = _framed(one.left(), one.top(), one.width(), degrees, scale)
            found.append(FoundFace(box, _cut(photo, box, degrees)))
        return sorted(found, key=lambda face: face.box)


def _framed(left: int, top: int, side: int, degrees: float, scale: float) -> Box:
    """Returns the square to cut out around a found one, in the photo's own pixels."""
    raised = _RAISED * side
    across = left + side / 2 + math.sin(math.radians(degrees)) * raised
    down = top + side / 2 - math.cos(math.radians(degrees)) * raised
    half = _SIDE * side / 2
    first, second = round((across - half) / scale), round((down - half) / scale)
    whole = max(1, round(2 * half / scale))
    return first, second, first + whole, second + whole


def _cut(photo: Image.Image, box: Box, degrees: float) -> Image.Image:
    left, top, right, bottom = box
    margin = math.ceil(_MARGIN * (right - left)) if degrees else 0
    rows = np.arange(top - margin, bottom + margin).clip(0, photo.height - 1)
    columns = np.arange(left - margin, right + margin).clip(0, photo.width - 1)
    wide = Image.fromarray(np.asarray(photo)[np.ix_(rows, columns)])
    if not degrees:
        return wide
    turned = wide.rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((margin, margin, margin + right - left, margin + bottom - top))
