"""Robustness: a classifier's scores on corrupted images of the same faces."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from fer_mlops.images.arrays import Images
from fer_mlops.images.reading import gray_photo
from fer_mlops.metrics.classification import Labels, accuracy, balanced_accuracy, confusion_counts
from fer_mlops.models.classifier import Classifier
from fer_mlops.progress import Advance, ignore_progress

SIDE = 128  # side of the images that are corrupted, in pixels; the same for every classifier
MOST_FACES = 300  # each is classified in 30 corrupted copies
STRENGTHS = (1, 2, 3, 4, 5)

_IMAGENET_SIDE = 224  # ImageNet-C's blur radii are for images of this side
_GRAY = 128

Corruption = Callable[[Image.Image, int, np.random.Generator], Image.Image]
"""Function of a gray face, a strength (index 0 to 4) and a random generator to the corrupted face."""


def _blur(face: Image.Image, strength: int, chance: np.random.Generator) -> Image.Image:
    radius = (1, 2, 3, 4, 6)[strength] * face.width / _IMAGENET_SIDE
    return face.filter(ImageFilter.GaussianBlur(radius))


def _noise(face: Image.Image, strength: int, chance: np.random.Generator) -> Image.Image:
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[strength]
    values = np.asarray(face, np.float64) + 255 * deviation * chance.standard_normal(face.size[::-1])
    return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8))


def _darken(face: Image.Image, strength: int, chance: np.random.Generator) -> Image.Image:
    fall = (0.1, 0.2, 0.3, 0.4, 0.5)[strength] * 255
    return face.point(lambda value: max(0, value - fall))


def _compress(face: Image.Image, strength: int, chance: np.random.Generator) -> Image.Image:
    content = io.BytesIO()
    face.save(content, "JPEG", quality=(25, 18, 15, 10, 7)[strength])
    return gray_photo(content.getvalue())


def _rotate(face: Image.Image, strength: int, chance: np.random.Generator) -> Image.Image:
    degrees = (5, 10, 15, 20, 30)[strength] * (1 if chance.random() < 0.5 else -1)
    return face.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=_GRAY)


def _occlude(face: Image.Image, strength: int, chance: np.random.Generator) -> Image.Image:
    side = round((0.2, 0.3, 0.4, 0.5, 0.6)[strength] * face.width)
    left, top = chance.integers(0, face.width - side + 1, 2).tolist()
    hidden = face.copy()
    hidden.paste(_GRAY, (left, top, left + side, top + side))
    return hidden


CORRUPTIONS: Mapping[str, Corruption] = {
    "blur": _blur,
    "noise": _noise,
    "dark": _darken,
    "jpeg": _compress,
    "rotated": _rotate,
    "occluded": _occlude,
}
"""Blur, noise, JPEG and brightness use the strengths of ImageNet-C (Hendrycks and Dietterich, arXiv
1903.12261); blur is scaled with the side, and brightness is lowered instead of raised. Faces are rotated
by 5 to 30 degrees in either direction, and hidden by a gray square of .2 to .6 of the side (arXiv
1708.04552)."""


@dataclass(frozen=True)
class Curve:
    """Scores at strengths 0 (clean) to 5."""

    accuracy: tuple[float, ...]
    balanced_accuracy: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """Scores of a classifier on corrupted images."""

    num_faces: int
    curves: Mapping[str, Curve]
    """Scores by the name of the corruption."""

    @property
    def clean(self) -> float:
        """Balanced accuracy on the clean images of the same faces."""
        return next(iter(self.curves.values())).balanced_accuracy[0]

    @property
    def mean(self) -> float:
        """Mean balanced accuracy over corruptions and strengths 1 to 5."""
        return float(np.mean([curve.balanced_accuracy[1:] for curve in self.curves.values()]))

    def as_dict(self) -> dict[str, object]:
        """Returns plain values for JSON."""
        return {"mean": self.mean, **dataclasses.asdict(self)}


def measure_robustness(
    classifier: Classifier,
    faces: Images,
    labels: Labels,
    *,
    advance: Advance = ignore_progress,
) -> Robustness:
    """Returns the scores on corrupted images, at the classifier's default operating point.

    ``faces`` are uint8 [n, 128, 128] with ``labels`` [n]; the clean scores use this size too.
    """
    pictures = [Image.fromarray(face) for face in faces[:]]

    def score(images: list[Image.Image]) -> tuple[float, float]:
        predictions = classifier.predict_proba(classifier.prepare(images)).argmax(1)
        advance(len(images))
        counts = confusion_counts(labels, predictions)
        return float(accuracy(counts)), float(balanced_accuracy(counts))

    clean = score(pictures)
    curves = {}
    for name, corrupt in CORRUPTIONS.items():
        chance = np.random.default_rng(0)  # anew, so that a further corruption changes no other score
        scores = [clean]
        for strength in range(len(STRENGTHS)):
            scores.append(score([corrupt(picture, strength, chance) for picture in pictures]))
        right, balanced = zip(*scores, strict=True)
        curves[name] = Curve(right, balanced)
    return Robustness(num_faces=len(labels), curves=curves)
