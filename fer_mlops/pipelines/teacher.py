"""A trained model as teacher: its answers about the training faces, and whether it may give them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from fer_mlops.config import CnnExperiment, Experiment
from fer_mlops.data.faces import Faces
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.loading import Data
from fer_mlops.errors import DataError
from fer_mlops.images.arrays import Images, take_images
from fer_mlops.models.classifier import Classifier
from fer_mlops.progress import Advance, Progress, ignore_progress
from fer_mlops.tracking.registry import load_classifier, resolve_model_uri, training_provenance

_ROWS = 1024
"""Faces that are read at a time."""


def with_fixed_teacher(experiment: Experiment) -> Experiment:
    """Returns the experiment with its teacher, if any, under a name that cannot come to mean another.

    Raises:
        ModelError: There is no such model.
    """
    if not isinstance(experiment, CnnExperiment) or not experiment.training.teacher:
        return experiment
    fixed = resolve_model_uri(experiment.training.teacher)
    return replace(experiment, training=replace(experiment.training, teacher=fixed))


def with_answers(
    experiment: Experiment, data: Data, cache: Path, progress: Progress
) -> tuple[Faces, dict[str, str]]:
    """Returns the training faces, with the teacher's answers if there is one, and facts for the run.

    Args:
        experiment: What names the teacher.
        data: Of the experiment.
        cache: Folder for faces decoded at the teacher's own size, from the files as they are.
        progress: Told of each stage.

    Raises:
        DataError: The teacher has seen people whom this run is to be judged on.
        ModelError: There is no such model.
    """
    train = data.parts["train"]
    if not isinstance(experiment, CnnExperiment) or not experiment.training.teacher:
        return train, {}
    name = experiment.training.teacher
    teacher = load_classifier(name)
    facts = {"teacher": name, "teacher_family": teacher.family, **_check(name, data)}
    pixels = train.pixels
    if teacher.image_size != pixels.shape[-1]:
        advance = progress("reading faces for the teacher", len(data.table))
        _, all_pixels = load_images(data.table, teacher.image_size, cache, advance=advance)
        pixels = take_images(all_pixels, data.split.train)
    temperature = experiment.training.teacher_temperature
    answers = soft_answers(teacher, pixels, temperature, progress("answers of the teacher", len(train)))
    return replace(train, answers=answers), facts


def soft_answers(
    teacher: Classifier, pixels: Images, temperature: float, advance: Advance = ignore_progress
) -> NDArray[np.float32]:
    """Returns softened probabilities [n, 7], the mean over each face and its mirror image.

    They are those of the natural operating point, so that teacher and pupil assume the same
    frequencies whatever loss each was trained with.

    Args:
        teacher: Who answers.
        pixels: Faces at the teacher's size, uint8 [n, side, side].
        temperature: What the log-probabilities are divided by.
        advance: Told the number of faces just done.
    """
    calibration = teacher.calibration.at("natural")
    parts = []
    for start in range(0, len(pixels), _ROWS):
        faces = pixels[start : start + _ROWS]
        both = [faces, np.ascontiguousarray(faces[:, :, ::-1])]
        logs = [np.log(calibration.probabilities(teacher.scorer.logits(one)) + 1e-12) for one in both]
        parts.append(softmax((logs[0] + logs[1]) / 2 / temperature, axis=1).astype(np.float32))
        advance(len(faces))
    return np.concatenate(parts)


def _check(name: str, data: Data) -> dict[str, str]:
    """Returns a warning for the run where nobody knows whom the teacher has seen, else nothing.

    Raises:
        DataError: It has seen people whom this run is to be judged on.
    """
    provenance = training_provenance(name)
    if provenance is None:
        return {"teacher_warning": "unknown faces trained it, so scores may be optimistic"}
    if provenance.digest == data.digest():
        return {}
    judged = np.concatenate([faces.identities for part, faces in data.parts.items() if part != "train"])
    known = sorted(provenance.people & set(judged.tolist()))
    if known:
        raise DataError(
            f"the teacher {name} learned from people whom this run is judged on ({len(known)}, such as "
            f"{known[0]!r}), and would tell their labels; train it on this data with this split and "
            "seed, or take another teacher"
        )
    return {}
