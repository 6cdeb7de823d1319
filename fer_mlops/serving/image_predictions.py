"""Predictions for the command line: yields a row per face, and writes pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.images.face_detection import Box
from fer_mlops.images.reading import colour_photo, gray_photo
from fer_mlops.models.calibration import Calibration
from fer_mlops.serving.image_inputs import STDIN, ImageInput, Unread
from fer_mlops.serving.predictions import Prediction
from fer_mlops.serving.predictor import GrayFace, Predictor

_AT_ONCE = 256
_PHOTOS_AT_ONCE = 8
# box colours; a question mark marks unsure predictions too, for readers who see no colour
_SURE, _UNSURE = (17, 119, 51), (170, 68, 0)


@dataclass(frozen=True, kw_only=True)
class PredictionRow:
    """Prediction of one face, with its place."""

    image: str
    """Name of the input image."""
    prediction: Prediction
    face: int | None = None
    """Index of the face in its photo, from 0 at the left; None where the image is the face."""
    box: Box | None = None
    """Box of the face in the photo; None where the image is the face."""
    picture: str = ""
    """File of the heat map, or of the photo with boxes; empty if none was requested."""

    @property
    def number(self) -> int | None:
        """Number of the face for readers, from 1; programs read the index ``face``."""
        return None if self.face is None else self.face + 1


@dataclass(frozen=True)
class NoFace:
    """Photo without a detected face."""

    image: str

    def __str__(self) -> str:
        return f"no face found in {self.image!r}"


@dataclass(frozen=True, kw_only=True)
class _Subject:
    """Face, cut out and preprocessed."""

    query: ImageInput
    number: int
    """Number of the input image, from 0."""
    pixels: GrayFace
    face: int | None = None
    box: Box | None = None

    def file(self, what: str) -> str:
        """Returns a file name that is unique in the folder."""
        video, at, seconds = Path(self.query.name).name.rpartition("@")
        is_frame = at and isinstance(self.query.content, Image.Image)
        stem = f"{Path(video).stem}@{seconds}" if is_frame else Path(self.query.name).stem
        stem = "stdin" if self.query.name == STDIN else stem
        return f"{self.number:03}_{stem}_{what}"


@dataclass(frozen=True, kw_only=True)
class ImagePredictor:
    """Predicts the faces of images, and writes heat maps or photos with boxes."""

    predictor: Predictor
    calibration: Calibration
    """Calibration of the operating point, with its threshold."""
    finds_faces: bool = False
    """Whether the images are whole photos, in which faces are detected."""
    explains: bool = False
    """Whether to write heat maps."""
    out: Path | None = None
    """Folder for heat maps and for photos with boxes."""
    is_live: bool = False
    """Whether to predict each image at once instead of in batches."""

    def predict(
        self, queries: Iterable[ImageInput | Unread | DataError]
    ) -> Iterator[PredictionRow | NoFace | Unread | DataError]:
        """Yields, in order, a row per face, or the reason why an image has none.

        Entries that are no images are yielded unchanged.

        Raises:
            DataError: ``out`` cannot be written.
            ConfigError: ``finds_faces`` is set, and dlib is not installed.
        """
        left, number = iter(queries), 0
        at_once = 1 if self.is_live else _PHOTOS_AT_ONCE if self.finds_faces else _AT_ONCE
        while batch := list(islice(left, at_once)):
            good = [query for query in batch if isinstance(query, ImageInput)]
            read = self._photos(good, number) if self.finds_faces else self._faces(good, number)
            subjects = [face for faces in read if not isinstance(faces, DataError) for face in faces]
            rows, outcomes = iter(self._rows(subjects)), iter(read)
            for query in batch:
                if not isinstance(query, ImageInput):
                    yield query
                    continue
                outcome = next(outcomes)
                if isinstance(outcome, DataError):
                    yield outcome
                elif not outcome:
                    yield NoFace(query.name)
                else:
                    yield from islice(rows, len(outcome))
            number += len(batch)

    def _faces(self, batch: Sequence[ImageInput], number: int) -> list[list[_Subject] | DataError]:
        decoded = chain.from_iterable(self.predictor.decode([query.content for query in batch]))
        return [
            face
            if isinstance(face, DataError)
            else [_Subject(query=query, number=number + i, pixels=face)]
            for i, (query, face) in enumerate(zip(batch, decoded, strict=True))
        ]

    def _photos(self, batch: Sequence[ImageInput], number: int) -> list[list[_Subject] | DataError]:
        read: list[list[_Subject] | DataError] = []
        for i, query in enumerate(batch):
            try:
                found = self.predictor.finder.find(gray_photo(query.content))
            except DataError as error:
                read.append(error)
                continue
            pixels = self.predictor.classifier.prepare([face.crop for face in found])
            read.append(
                [
                    _Subject(query=query, number=number + i, pixels=pixels[k], face=k, box=face.box)
                    for k, face in enumerate(found)
                ]
            )
        return read

    def _rows(self, subjects: Sequence[_Subject]) -> list[PredictionRow]:
        if not subjects:
            return []
        pixels = np.stack([subject.pixels for subject in subjects])
        predictions = list(self.predictor.answer(pixels, self.calibration))
        pictures = [""] * len(subjects)
        if self.out is not None:
            try:
                self.out.mkdir(parents=True, exist_ok=True)
                if self.finds_faces:
                    pictures = _draw(subjects, predictions, self.out)
                if self.explains:
                    pictures = self._explain(subjects, predictions, pixels, self.out)
            except OSError as error:
                raise DataError(f"cannot write to {str(self.out)!r}: {error.strerror}") from error
        return [
            PredictionRow(
                image=s.query.name, prediction=prediction, face=s.face, box=s.box, picture=picture
            )
            for s, prediction, picture in zip(subjects, predictions, pictures, strict=True)
        ]

    def _explain(
        self, subjects: Sequence[_Subject], predictions: list[Prediction], pixels: GrayFace, out: Path
    ) -> list[str]:
        """Writes the heat map of each prediction and returns the files."""
        from fer_mlops.evaluation.explanation import explain  # slow import, rarely needed
        from fer_mlops.reporting.plots import overlay

        labels = np.array([EMOTIONS.index(prediction.emotion) for prediction in predictions])
        heats, method = explain(self.predictor.classifier, pixels, labels)
        files = []
        for subject, prediction, face, heat in zip(subjects, predictions, pixels, heats, strict=True):
            which = "" if subject.face is None else f"face{subject.face + 1}_"
            file = out / subject.file(f"{which}{prediction.emotion}_{method}.png")
            overlay(face, heat).save(file)
            files.append(str(file))
        return files


def _draw(subjects: Sequence[_Subject], predictions: Sequence[Prediction], out: Path) -> list[str]:
    """Writes a copy of each photo with boxes and emotions, and returns the file for each face."""
    files: dict[int, str] = {}
    for number in dict.fromkeys(subject.number for subject in subjects):
        here = [(s, a) for s, a in zip(subjects, predictions, strict=True) if s.number == number]
        photo = colour_photo(here[0][0].query.content)
        pen = ImageDraw.Draw(photo)
        for subject, prediction in here:
            assert subject.box is not None
            assert subject.face is not None
            _frame(pen, subject.box, subject.face + 1, prediction, photo.size)
        file = out / here[0][0].file("faces.jpg")
        photo.save(file, quality=92)
        files[number] = str(file)
    return [files[subject.number] for subject in subjects]


def _frame(
    pen: ImageDraw.ImageDraw, box: Box, number: int, prediction: Prediction, size: tuple[int, int]
) -> None:
    left, top, right, _ = box
    colour = _SURE if prediction.is_sure else _UNSURE
    words = (
        f"{number} {prediction.emotion}{'' if prediction.is_sure else '?'} {prediction.confidence:.2f}"
    )
    font = ImageFont.load_default(max(12, min(36, (right - left) // 6)))
    pen.rectangle(box, outline=colour, width=max(2, (right - left) // 50))
    _, _, width, height = pen.textbbox((0, 0), words, font=font)
    # the label goes above the box, or inside it at the top of the photo
    across = max(0, min(left, size[0] - round(width) - 6))
    above = top - round(height) - 6
    down = above if above >= 0 else max(0, top)
    pen.rectangle((across, down, across + width + 6, down + height + 6), fill=colour)
    pen.text((across + 3, down + 1), words, fill=(255, 255, 255), font=font)
