"""Prediction from Python: paths, bytes, arrays or Pillow images to calibrated predictions.

``fer_mlops.load`` is ``load`` of this module.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeGuard, get_args, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fer_mlops import CHAMPION_NAME
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images.arrays import Images
from fer_mlops.images.face_detection import FaceFinder
from fer_mlops.images.reading import gray_face, gray_photo
from fer_mlops.models.calibration import Calibration, OperatingPoint
from fer_mlops.models.classifier import Classifier
from fer_mlops.processes import libraries_set_up
from fer_mlops.serving.predictions import FacePrediction, Prediction, PredictionBatch
from fer_mlops.tracking.model_files import bundle_in
from fer_mlops.tracking.model_names import ModelUri
from fer_mlops.tracking.sqlite_registry import folder_of

Picture = str | Path | bytes | bytearray | memoryview | NDArray[np.uint8] | Image.Image
"""Path, encoded image, decoded pixels or Pillow image; details at ``as_image``."""

GrayFace = NDArray[np.uint8]
"""Face as the model sees it: gray uint8 [side, side]."""

_BATCH = 256  # images per forward pass; the next batch is decoded meanwhile
_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Trained model, ready to predict; safe to share between threads."""

    name: str
    """Name it was loaded by."""
    classifier: Classifier
    num_threads: int = 0
    """Threads that decode images; 0 for one per core."""

    def __repr__(self) -> str:
        return f"Predictor({self.name}, {self.classifier.family}, {self.classifier.image_size} px)"

    @overload
    def predict(  # type: ignore[overload-overlap]  # str is an iterable of str, but means one path
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
        """Returns the prediction of one image, or the predictions of several.

        Arrays [n, h, w, channels] are several images; so are [n, h, w], unless w is 1, 3 or 4.

        Args:
            images: One image, or any iterable of images, also of mixed types; see ``as_image``.
            point: Operating point: ``natural`` has the highest accuracy, ``balanced`` favours rare
                emotions, ``default`` lies between.
            threshold: Confidence from which a prediction is sure, 0 to 1; None for the model's own.

        Raises:
            DataError: An image cannot be read; the message gives its number, from 0.
            ConfigError: ``point`` is unknown, or ``threshold`` is not between 0 and 1.
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
        """Yields the prediction of each image, or the error if it cannot be read.

        At most two batches are in memory. Arguments as in ``predict``.

        Raises:
            ConfigError: ``point`` is unknown, or ``threshold`` is not between 0 and 1.
        """
        calibration = calibration_at(self.classifier.calibration, point, threshold)
        for batch in self.decode(images):
            faces = [face for face in batch if not isinstance(face, DataError)]
            answers = iter(self.answer(np.stack(faces), calibration) if faces else ())
            for face in batch:
                yield face if isinstance(face, DataError) else next(answers)

    def find(
        self, photo: Picture, *, point: OperatingPoint = "default", threshold: float | None = None
    ) -> list[FacePrediction]:
        """Returns the prediction of each face in a photo, from left to right; empty if it has none.

        Args:
            photo: Whole photo; see ``as_image``.
            point: Operating point, as in ``predict``.
            threshold: As in ``predict``.

        Raises:
            DataError: The photo cannot be read.
            ConfigError: ``point`` or ``threshold`` is invalid, or dlib is not installed.
        """
        calibration = calibration_at(self.classifier.calibration, point, threshold)
        found = self.finder.find(gray_photo(as_image(photo)))
        answers = self.answer(self.classifier.prepare([face.crop for face in found]), calibration)
        return [FacePrediction(face.box, answer) for face, answer in zip(found, answers, strict=True)]

    @cached_property
    def finder(self) -> FaceFinder:
        """Face detector; created on first use, as it needs dlib."""
        return FaceFinder()

    def answer(self, faces: Images, calibration: Calibration) -> PredictionBatch:
        """Returns the predictions of preprocessed faces, uint8 [n, side, side]."""
        probabilities = calibration.probabilities(self.classifier.scorer.logits(faces))
        return PredictionBatch(probabilities, calibration.is_sure(probabilities))

    def decode(self, images: Iterable[Picture]) -> Iterator[list[GrayFace | DataError]]:
        """Yields batches of faces, or errors, while the next batch is being decoded."""

        def decode(picture: Picture) -> GrayFace | DataError:
            try:
                return gray_face(as_image(picture), self.classifier.image_size)
            except DataError as error:
                return error

        left = iter(images)
        if self.num_threads == 1:
            while batch := [decode(picture) for picture in itertools.islice(left, _BATCH)]:
                yield batch
            return
        # threads suffice: Pillow releases the GIL while it decodes
        with ThreadPoolExecutor(self.num_threads or os.cpu_count()) as pool:
            begun = [pool.submit(decode, picture) for picture in itertools.islice(left, _BATCH)]
            while begun:
                ahead = [pool.submit(decode, picture) for picture in itertools.islice(left, _BATCH)]
                yield [face.result() for face in begun]
                begun = ahead


def load(name: str | Path = CHAMPION_NAME, *, num_threads: int = 0) -> Predictor:
    """Returns the trained model with this name, ready to predict. No code stored with it is run.

    Args:
        name: ``models:/fer-classifier@champion``, ``models:/fer-classifier/3``, ``runs:/<id>``, a
            folder with a bundle, or a file ``.onnx`` that ``fer-mlops export`` wrote.
        num_threads: Threads that decode images, and threads of onnxruntime; 0 for one per core.
            ``torch.set_num_threads`` sets torch's.

    Raises:
        ModelError: There is no such model, or fer_mlops did not write it.
        TrackingError: The tracking server does not respond.
    """
    name = str(name)
    if name.endswith(".onnx"):
        from fer_mlops.models.onnx import load_onnx

        return Predictor(
            name=name, classifier=load_onnx(Path(name), num_threads), num_threads=num_threads
        )
    # two ways without MLflow, which takes seconds to import
    if (Path(name) / "classifier.json").is_file():
        classifier = Classifier.load(Path(name))
    elif folder := folder_of(name):
        classifier = Classifier.load(bundle_in(folder, name), name)
    else:
        with libraries_set_up():
            # imported here: MLflow takes seconds to import
            from fer_mlops.tracking.registry import load_classifier
            from fer_mlops.tracking.store import check_store

            if ModelUri.parse(name).is_stored:
                check_store()
            classifier = load_classifier(name)
    return Predictor(name=name, classifier=classifier, num_threads=num_threads)


def as_image(picture: Picture) -> bytes | Path | Image.Image:
    """Returns the picture in a form that ``gray_face`` accepts.

    Arrays are uint8, 0 black to 255 white: [h, w] or [h, w, 1] gray, [h, w, 3] RGB, [h, w, 4] RGBA.
    Floats are refused, as their white may be 1 or 255. BGR arrays, as OpenCV reads them, cannot be
    recognised: reverse their channels with ``image[..., ::-1]``.

    Raises:
        DataError: The type is not one of Picture, or the array has another dtype or shape.
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
        raise DataError(f"an array of shape {picture.shape} is not an image; give [h, w] or [h, w, 3]")
    if picture.dtype != np.uint8:
        raise DataError(
            f"an array of {picture.dtype} does not state its white value; give uint8, 0 black to 255"
        )
    return Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)


def _is_one(images: object) -> TypeGuard[Picture]:
    if isinstance(images, np.ndarray):
        return images.ndim < 3 or (images.ndim == 3 and images.shape[2] in _CHANNELS)
    is_one = isinstance(images, str | Path | bytes | bytearray | memoryview | Image.Image)
    return is_one or not isinstance(images, Iterable)  # as_image refuses other types


def calibration_at(
    calibration: Calibration, point: OperatingPoint, threshold: float | None
) -> Calibration:
    """Returns the calibration of an operating point, with ``threshold`` if given.

    Raises:
        ConfigError: ``point`` is unknown, or the threshold is not between 0 and 1.
    """
    if point not in get_args(OperatingPoint):
        raise ConfigError(f"point must be one of {', '.join(get_args(OperatingPoint))}, got {point!r}")
    check_threshold(threshold)
    chosen = calibration.at(point)
    return chosen if threshold is None else replace(chosen, threshold=threshold)


def check_threshold(threshold: float | None) -> None:
    """Raises ConfigError if the threshold is not between 0 and 1; None passes."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be between 0 and 1, got {threshold}")
