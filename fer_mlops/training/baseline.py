"""Baseline training: HOG + SVM on growing shares of the training faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_mlops.config import BaselineExperiment, HogSvmConfig
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.calibration_fit import fit_calibration, with_thresholds
from fer_mlops.models.classifier import Classifier
from fer_mlops.models.hog import Vectors, hog_vectors
from fer_mlops.models.hog_svm_fit import can_calibrate, fit_hog_svm
from fer_mlops.progress import Advance, Progress, cached
from fer_mlops.training.feature_cache import cached_features, digest_of_pixels
from fer_mlops.training.losses import log_prior
from fer_mlops.training.steps import OnStep, Step, TrainingResult, uncalibrated, valid_metrics


def train_baseline(
    experiment: BaselineExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    progress: Progress,
    cache: Path,
) -> TrainingResult:
    """Returns the baseline fitted to all training faces; reports one step per share of them."""
    config, seed = experiment.hog_svm, experiment.seed
    num_faces = len(train) + len(valid)
    advance = progress("HOG features", num_faces)
    train_vectors = _vectors_of(train, config, cache, advance, num_faces)
    valid_vectors = _vectors_of(valid, config, cache, advance, num_faces)
    advance = progress("learning curve", len(config.fractions))
    prior = log_prior(train.class_counts()).numpy()
    zeros = np.zeros(len(EMOTIONS), np.float32)
    num_steps = len(config.fractions)
    for number, rows in _training_sets(len(train), config.fractions, seed):
        if number < num_steps and not can_calibrate(train.labels[rows]):
            advance(1)
            continue  # too small to calibrate, so its probabilities are not comparable
        machine = fit_hog_svm(train_vectors[rows], train.labels[rows], config, seed)
        logits = machine.logits_of_vectors(valid_vectors)
        classifier = Classifier(
            family="baseline",
            image_size=config.image_size,
            scorer=machine,
            calibration=uncalibrated(zeros),
        )
        on_step(_curve_step(number, num_steps, len(rows), logits, valid.labels, classifier))
        advance(1)
    calibration = fit_calibration(logits, valid.labels, zeros, prior)
    calibration = with_thresholds(calibration, logits, valid.labels, experiment.max_error)
    return TrainingResult(classifier=dataclasses.replace(classifier, calibration=calibration), facts={})


def _training_sets(
    num_faces: int, fractions: Sequence[float], seed: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yields number, from 1, and sorted rows of each training set of a learning curve.

    Args:
        num_faces: Number of training faces.
        fractions: Share of the faces in each set, ascending.
        seed: Seed of the order of the faces.
    """
    # of one order, so that each training set contains the smaller ones
    order = np.random.default_rng(seed).permutation(num_faces)
    for number, fraction in enumerate(fractions, start=1):
        yield number, np.sort(order[: max(2, round(fraction * num_faces))])


def _curve_step(
    number: int,
    num_steps: int,
    num_faces: int,
    log_probabilities: NDArray[np.floating[Any]],
    labels: Labels,
    classifier: Classifier,
) -> Step:
    """Returns a point of a learning curve as a step.

    Args:
        number: Number of the training set, from 1.
        num_steps: Number of training sets.
        num_faces: Number of faces in this set.
        log_probabilities: Log-probabilities of the validation faces [n, 7].
        labels: Labels of the validation faces [n].
        classifier: Classifier trained on this set, not calibrated yet.
    """
    return Step(
        number=number,
        name=f"training set {number}/{num_steps}",
        metrics={"train/faces": num_faces, **valid_metrics(log_probabilities, labels)},
        probabilities=np.exp(log_probabilities),
        classifier=classifier,
        has_images=True,
        state=None,
    )


def _vectors_of(
    faces: Faces, config: HogSvmConfig, cache: Path, advance: Advance, num_faces: int
) -> Vectors:
    """Returns the HOG vectors of the faces, from the cache if they are in it."""

    def compute() -> Tensor:
        vectors = hog_vectors(
            faces.pixels,
            cells=config.cells,
            orientations=config.orientations,
            is_symmetric=config.mirror,
            advance=advance,
        )
        return torch.from_numpy(vectors)

    how = (*map(str, config.cells), str(config.orientations), str(config.mirror))
    parts = ("hog", *how, digest_of_pixels(faces.pixels))
    found = cached_features(cache, parts, compute, lambda: advance(len(faces), cached(num_faces)))
    return found.numpy()
