"""Teacher model for distillation: soft labels for the training faces, and a leakage check."""

from __future__ import annotations

from dataclasses import replace

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

_ROWS = 1024  # faces per batch of predictions


def with_fixed_teacher(experiment: Experiment) -> Experiment:
    """Returns the experiment with its teacher, if any, resolved to a fixed model URI.

    Raises:
        ModelError: The teacher does not exist.
    """
    if not isinstance(experiment, CnnExperiment) or not experiment.training.teacher:
        return experiment
    fixed = resolve_model_uri(experiment.training.teacher)
    return replace(experiment, training=replace(experiment.training, teacher=fixed))


def with_soft_labels(
    experiment: Experiment, data: Data, progress: Progress
) -> tuple[Faces, dict[str, str]]:
    """Returns the training faces, with the teacher's predictions if there is one, and facts to log.

    Raises:
        DataError: The teacher has seen people in this run's validation or test faces.
        ModelError: The teacher does not exist.
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
        _, all_pixels = load_images(data.table, teacher.image_size, data.cache, advance=advance)
        pixels = take_images(all_pixels, data.split.train)
    temperature = experiment.training.teacher_temperature
    probabilities = soft_labels(
        teacher, pixels, temperature, progress("teacher predictions", len(train))
    )
    return replace(train, teacher_probabilities=probabilities), facts


def soft_labels(
    teacher: Classifier, pixels: Images, temperature: float, advance: Advance = ignore_progress
) -> NDArray[np.float32]:
    """Returns softened probabilities [n, 7], averaged over each face and its mirror image.

    Faces are uint8 [n, side, side] at the teacher's size; ``temperature`` divides the log-probabilities.
    """
    # teacher and student assume the same class frequencies, whatever loss each was trained with
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
    """Returns a warning to log if the teacher's training data is unknown, else nothing."""
    provenance = training_provenance(name)
    if provenance is None:
        return {"teacher_warning": "its training faces are unknown, so scores may be optimistic"}
    if provenance.digest == data.digest():  # the same faces and split: it saw no test face
        return {}
    other = np.concatenate([faces.identities for part, faces in data.parts.items() if part != "train"])
    known = sorted(provenance.people & set(other.tolist()))
    if known:
        raise DataError(
            f"the teacher {name} was trained on people in this run's validation or test faces "
            f"({len(known)}, such as {known[0]!r}) and would leak their labels; train it on this data "
            "with this split and seed, or use another teacher"
        )
    return {}
