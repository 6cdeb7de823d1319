"""Face detection in photos with dlib, and crops framed like the classifier's training faces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from fer_mlops.errors import needs_extra

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels of the upright photo; may extend beyond its edge."""

# scale of small photos: dlib detects faces from 80 pixels on, so that it then finds those of 40
_ENLARGED = 2.0
_LONGEST = 4000  # longest side of the scaled photo, in pixels; larger photos are scaled down to it
# Score threshold of a detection, dlib's default. Below it, folds of cloth are detected as faces.
_LOWEST = 0.0
# Side of the crop, and distance of its centre above that of the detected box, both in sides of the box.
# These values and the degrees below had the best accuracy on validation faces pasted into photos
# (benchmarks/faces.py).
_SIDE, _RAISED = 1.1, 0.08
# Rotation that brings a face upright, in degrees counterclockwise, by number of dlib's detector; two of
# its detectors find tilted faces. Rotating by eye landmarks was no better and takes another 100 MB.
_TURNS = {3: -20.0, 4: 20.0}
_MARGIN = 0.2  # margin that a square needs for this rotation, as a share of its side


@dataclass(frozen=True)
class FoundFace:
    """A detected face in a photo."""

    box: Box
    """Axis-aligned square, also for a tilted face."""
    crop: Image.Image
    """Gray crop, rotated upright; pixels beyond the photo's edge repeat the edge."""


class FaceFinder:
    """dlib's frontal face detector: HOG and a linear SVM, with weights that are part of dlib."""

    def __init__(self) -> None:
        """Raises ConfigError if dlib is not installed."""
        with needs_extra("face", "detecting faces needs dlib"):
            import dlib
        self._detector: Any = dlib.get_frontal_face_detector()
        self._turn = Lock()  # the detector is not thread-safe: it stores its photo

    def find(self, photo: Image.Image) -> list[FoundFace]:
        """Returns the frontal faces in a gray photo, tilted by up to about 30 degrees, left to right.

        The smallest face has 40 pixels in photos of up to 2,000 pixels on the longer side, and a
        fiftieth of that side in larger photos.
        """
        scale = min(_ENLARGED, _LONGEST / max(photo.size))
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        wide = np.asarray(photo.resize(size, Image.Resampling.BICUBIC))
        with self._turn:
            rectangles, _, kinds = self._detector.run(wide, 0, _LOWEST)
        found = []
        for rectangle, kind in zip(rectangles, kinds, strict=True):
            degrees = _TURNS.get(kind, 0.0)
            box = _framed(rectangle.left(), rectangle.top(), rectangle.width(), degrees, scale)
            found.append(FoundFace(box, _cut(photo, box, degrees)))
        return sorted(found, key=lambda face: face.box)


def _framed(left: int, top: int, side: int, degrees: float, scale: float) -> Box:
    """Returns the square to crop around a detected square, in pixels of the original photo."""
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
