"""A trained model in use: images in any form to answers one can act on.

``fer_mlops.load`` is ``load`` of this module.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, get_args, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images.arrays import Images
from fer_mlops.images.face_detection import Box, FaceFinder
from fer_mlops.images.reading import gray_face, gray_photo
from fer_mlops.models.calibration import Calibration, OperatingPoint
from fer_mlops.models.classifier import Classifier

if TYPE_CHECKING:
    import pandas as pd

CHAMPION_NAME = "models:/fer-classifier@champion"

Picture = str | Path | bytes | bytearray | memoryview | NDArray[np.uint8] | Image.Image
"""A path, an encoded image, decoded pixels or an open image; ``as_image`` tells more."""

Face = NDArray[np.uint8]
"""As the model sees it: gray, [side, side]."""

_BATCH = 256
"""Images that are answered at once, and as many decoded ahead."""
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What the model says of one face."""

    emotion: str
    """The most probable of EMOTIONS."""
    confidence: float
    """Its probability, 0 to 1."""
    probabilities: dict[str, float]
    """By emotion, in the order of EMOTIONS; they sum to 1."""
    is_sure: bool
    """Whether the confidence reaches the threshold; below it, say that you do not know."""


@dataclass(frozen=True)
class FacePrediction:
    """What the model says of one face in a photo."""

    box: Box
    answer: Prediction


@dataclass(frozen=True, eq=False)
class PredictionBatch(Sequence[Prediction]):
    """Answers in the order of the images."""

    probabilities: NDArray[np.float64]
    """[n, 7]; columns in the order of EMOTIONS."""
    is_sure: NDArray[np.bool_]
    """[n]"""

    def __len__(self) -> int:
        return len(self.probabilities)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> PredictionBatch: ...

    def __getitem__(self, index: int | slice) -> Prediction | PredictionBatch:
        if isinstance(index, slice):
            return PredictionBatch(self.probabilities[index], self.is_sure[index])
        row = self.probabilities[index]
        return Prediction(
            emotion=EMOTIONS[row.argmax()],
            confidence=float(row.max()),
            probabilities=dict(zip(EMOTIONS, row.tolist(), strict=True)),
            is_sure=bool(self.is_sure[index]),
        )

    def to_frame(self) -> pd.DataFrame:
        """Returns a row per answer, with the columns of the registered model's output."""
        import pandas as pd

        table = pd.DataFrame(self.probabilities, columns=list(EMOTIONS))
        table.insert(0, "emotion", [EMOTIONS[label] for label in self.probabilities.argmax(1)])
        table.insert(1, "confidence", self.probabilities.max(1))
        table["is_sure"] = self.is_sure
        return table


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model, ready to be asked. Threads may share it."""

    name: str
    """What it was loaded by."""
    classifier: Classifier
    num_threads: int = 0
    """That images are decoded in; 0 for as many as there are cores."""

    @overload
    def predict(  # type: ignore[overload-overlap]  # text is an iterable of texts, but means a path
        self, images: Picture, *, point: OperatingPoint = ..., threshold: float | None = ...
    ) -> Prediction: ...

    @overload
    def predict(
        self, images: Iterable[Picture], *, point: OperatingPoint = ..., threshold: float | None = ...
    ) -> PredictionBatch: ...

    def predict(
        self,
        images: Picture | Iterable[Picture],
        *,
        point: OperatingPoint = "default",
        threshold: float | None = None,
    ) -> Prediction | PredictionBatch:
        """Returns the answer about one image, or the answers about many.

        An array [n, h, w], unless its last axis is 1, 3 or 4 long, or [n, h, w, channels] is many.

        Args:
            images: One, or any iterable of them, of mixed kinds if need be; see ``as_image``.
            point: Operating point: ``natural`` is right most often, ``balanced`` favours rare
                emotions, ``default`` lies between.
            threshold: Confidence from which an answer is sure, 0 to 1; None for the model's own.

        Raises:
            DataError: An image cannot be read; the message says which, from 0.
            ConfigError: ``point`` or ``threshold`` cannot be.
        """
        calibration = calibration_at(self.classifier.calibration, point, threshold)
        if _is_one(images):
            face = gray_face(as_image(images), self.classifier.image_size)
            return self.answer(face[None], calibration)[0]
        pictures: list[Picture] = list(images)  # type: ignore[arg-type]  # TypeGuard narrows one way
        side = self.classifier.image_size
        faces = np.zeros((len(pictures), side, side), np.uint8)
        for number, face_or_error in enumerate(itertools.chain(*self.decode(pictures))):
            if isinstance(face_or_error, DataError):
                raise DataError(f"image {number} of {len(pictures)}: {face_or_error}")
            faces[number] = face_or_error
        return self.answer(faces, calibration)

    def stream(
        self,
        images: Iterable[Picture],
        *,
        point: OperatingPoint = "default",
        threshold: float | None = None,
    ) -> Iterator[Prediction | DataError]:
        """Yields, image by image, the answer or why it cannot be read, in the memory of two batches.

        Raises:
            ConfigError: As ``predict``.
        """
        calibration = calibration_at(self.classifier.calibration, point, threshold)
        for batch in self.decode(images):
            faces = [face for face in batch if not isinstance(face, DataError)]
            answers = iter(self.answer(np.stack(faces), calibration) if faces else ())
            for face in batch:
                yield face if isinstance(face, DataError) else next(answers)

    def find(
        self,
        photo: Picture,
        *,
        point: OperatingPoint = "default",
        threshold: float | None = None,
    ) -> list[FacePrediction]:
        """Returns the answer about each face in a whole photo, from left to right; none is no error.

        Args:
            photo: See ``as_image``.
            point: As for ``predict``.
            threshold: Likewise.

        Raises:
            DataError: The photo cannot be read.
            ConfigError: ``point`` or ``threshold`` cannot be, or dlib is not installed.
        """
        calibration = calibration_at(self.classifier.calibration, point, threshold)
        found = self.finder.find(gray_photo(as_image(photo)))
        answers = self.answer(self.classifier.prepare([face.crop for face in found]), calibration)
        return [FacePrediction(face.box, one) for face, one in zip(found, answers, strict=True)]

    @cached_property
    def finder(self) -> FaceFinder:
        """Finds faces in photos; made when first asked for, as it needs dlib."""
        return FaceFinder()

    def answer(self, faces: Images, calibration: Calibration) -> PredictionBatch:
        """Returns the answers about prepared faces uint8 [n, side, side]."""
        probabilities = calibration.probabilities(self.classifier.scorer.logits(faces))
        return PredictionBatch(probabilities, calibration.is_sure(probabilities))

    def decode(self, images: Iterable[Picture]) -> Iterator[list[Face | DataError]]:
        """Yields batches of faces, or why there is none, while the next one is being decoded."""

        def decode(picture: Picture) -> Face | DataError:
            try:
                return gray_face(as_image(picture), self.classifier.image_size)
            except DataError as error:
                return error

        left = iter(images)
        if self.num_threads == 1:
            while batch := [decode(picture) for picture in itertools.islice(left, _BATCH)]:
                yield batch
            return
        # threads, as Pillow lets go of the interpreter while it decodes
        with ThreadPoolExecutor(self.num_threads or os.cpu_count()) as pool:
            begun = [pool.submit(decode, picture) for picture in itertools.islice(left, _BATCH)]
            while begun:
                ahead = [pool.submit(decode, picture) for picture in itertools.islice(left, _BATCH)]
                yield [face.result() for face in begun]
                begun = ahead


def load(name: str | Path = CHAMPION_NAME, *, num_threads: int = 0) -> Predictor:
    """Returns the trained model that ``name`` means, ready to be asked. No code stored with it is run.

    Args:
        name: ``models:/fer-classifier@champion``, ``models:/fer-classifier/3``, ``runs:/<id>``, a
            folder with a bundle, or a file ``.onnx`` that ``fer-mlops export`` wrote.
        num_threads: That images are decoded in, and that onnxruntime works in; 0 for as many as there
            are cores. torch's are set by ``torch.set_num_threads``.

    Raises:
        ModelError: There is no such model, or it is not one of ours.
        TrackingError: The tracking server does not answer.
    """
    name = str(name)
    if name.endswith(".onnx"):
        from fer_mlops.models.onnx import load_onnx

        return Predictor(
            name=name, classifier=load_onnx(Path(name), num_threads), num_threads=num_threads
        )
    if (Path(name) / "classifier.json").is_file():
        classifier = Classifier.load(Path(name))
    else:
        from fer_mlops.tracking.registry import (  # takes MLflow's seconds to import
            ModelName,
            load_classifier,
        )
        from fer_mlops.tracking.store import check_store

        if ModelName.parse(name).is_stored:
            check_store()
        classifier = load_classifier(name)
    return Predictor(name=name, classifier=classifier, num_threads=num_threads)


def as_image(picture: Picture) -> bytes | Path | Image.Image:
    """Returns the picture in a form that ``gray_face`` takes.

    Arrays are uint8, 0 black to 255 white: [h, w] or [h, w, 1] gray, [h, w, 3] red, green, blue,
    [h, w, 4] with opacity last. Floats are refused, as their white may be 1 or 255. An array cannot
    tell that it is blue, green, red, as OpenCV reads: turn it round with ``image[..., ::-1]``.

    Raises:
        DataError: It is none of the kinds of Picture, or an array of another type or shape.
    """
    if isinstance(picture, bytes | Path | Image.Image):
        return picture
    if isinstance(picture, str):
        return Path(picture)
    if isinstance(picture, bytearray | memoryview):
        return bytes(picture)
    if not isinstance(picture, np.ndarray):
        raise DataError(
            "an image is a path, bytes, a numpy array or a Pillow image, not "
            f"{type(picture).__module__}.{type(picture).__qualname__}"
        )
    is_flat = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in _CHANNELS)
    if not is_flat or not picture.size:
        raise DataError(
            f"an array of shape {picture.shape} is no image; give [height, width] or [height, width, 3]"
        )
    if picture.dtype != np.uint8:
        raise DataError(
            f"an array of {picture.dtype} does not say which number is white; give uint8, 0 black to "
            "255 white"
        )
    return Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)


def _is_one(images: object) -> TypeGuard[Picture]:
    if isinstance(images, np.ndarray):
        return images.ndim < 3 or (images.ndim == 3 and images.shape[2] in _CHANNELS)
    is_one = isinstance(images, str | Path | bytes | bytearray | memoryview | Image.Image)
    return is_one or not isinstance(images, Iterable)  # the latter is none at all, as will be said


def calibration_at(
    calibration: Calibration, point: OperatingPoint, threshold: float | None
) -> Calibration:
    """Returns the calibration of an operating point, with another threshold if one is given.

    Raises:
        ConfigError: There is no such point, or the threshold is not between 0 and 1.
    """
    if point not in get_args(OperatingPoint):
        raise ConfigError(f"point must be one of {', '.join(get_args(OperatingPoint))}, got {point!r}")
    check_threshold(threshold)
    chosen = calibration.at(point)
    return chosen if threshold is None else replace(chosen, threshold=threshold)


def check_threshold(threshold: float | None) -> None:
    """Raises ConfigError where the threshold is not between 0 and 1; None is the model's own."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be between 0 and 1, got {threshold}")
