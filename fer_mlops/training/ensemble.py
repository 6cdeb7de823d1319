"""Ensemble training: a linear head on the features of frozen experts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from fer_mlops.config import EnsembleExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.calibration import log_softmax
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.ensemble import build_ensemble
from fer_mlops.progress import Advance, Progress, cached
from fer_mlops.training.devices import choose_device
from fer_mlops.training.feature_cache import (
    Embed,
    cached_features,
    digest_of_pixels,
    digest_of_weights,
    frozen_features,
)
from fer_mlops.training.networks import calibrated
from fer_mlops.training.steps import OnStep, TrainingResult, curve_step, training_sets, uncalibrated

Features = NDArray[np.float32]
_UNSEEN = -20.0  # logit of an emotion without a training face: a probability of about 1e-9
_LEAST_DEVIATION = 1e-6


def train_ensemble(
    experiment: EnsembleExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    progress: Progress,
    cache: Path,
) -> TrainingResult:
    """Returns the ensemble whose head is fitted to all training faces.

    Reports one step per share of the training faces.
    """
    config = experiment.ensemble
    network = build_ensemble(config, len(EMOTIONS))
    device = choose_device("auto")
    num_faces = (len(train) + len(valid)) * (2 if config.mirror else 1)
    advance = progress("features of experts", num_faces)
    embed = Embed(network).to(device)
    weights = digest_of_weights(network)

    def features_of(faces: Faces) -> Features:
        return _features(embed, faces, weights, config.mirror, cache, advance, num_faces)

    train_features, valid_features = features_of(train), features_of(valid)
    network.cpu()
    bias = np.zeros(len(EMOTIONS), np.float32)
    classifier = Classifier(
        family="ensemble",
        image_size=config.image_size,
        scorer=NetworkScorer(network, config),
        calibration=uncalibrated(bias),
    )
    num_steps = len(config.fractions)
    advance = progress("learning curve", num_steps)
    for number, rows in training_sets(len(train), config.fractions, experiment.seed):
        if number == num_steps or len(np.unique(train.labels[rows])) > 1:
            _fit_head(network.head, train_features[rows], train.labels[rows], config.penalty)
            with torch.inference_mode():
                logits = log_softmax(network.head(torch.from_numpy(valid_features)).numpy())
            on_step(curve_step(number, num_steps, len(rows), logits, valid.labels, classifier))
        advance(1)
    fitted = calibrated("ensemble", network, config, train, valid, bias, experiment.max_error)
    return TrainingResult(classifier=fitted, facts={})


def _features(
    embed: Embed,
    faces: Faces,
    weights: str,
    mirror: bool,
    cache: Path,
    advance: Advance,
    num_faces: int,
) -> Features:
    """Returns the features [n, features], averaged over mirror images if ``mirror`` is set."""
    device = next(embed.parameters()).device
    pixels = digest_of_pixels(faces.pixels)

    def one_side(mirrored: bool) -> Features:
        def compute() -> Tensor:
            return frozen_features(
                embed, faces.pixels, device=device, mirrored=mirrored, advance=advance
            )

        parts = ("ensemble", weights, pixels, str(mirrored), device.type)
        found = cached_features(cache, parts, compute, lambda: advance(len(faces), cached(num_faces)))
        return found.numpy()

    return np.asarray((one_side(False) + one_side(True)) / 2) if mirror else one_side(False)


def _fit_head(head: nn.Linear, features: Features, labels: Labels, penalty: float) -> None:
    """Fits the head to standardised features, then folds the scaling into its weights.

    Args:
        head: Linear layer to fill.
        features: Features of the faces [n, features].
        labels: Labels of the faces [n], with at least two emotions.
        penalty: Weight of half the squared norm of the weights, beside the sum of the faces' losses.
    """
    mean, deviation = features.mean(0), features.std(0) + _LEAST_DEVIATION
    fitted = LogisticRegression(C=1 / penalty, max_iter=1000).fit((features - mean) / deviation, labels)
    rows, offsets = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn stores one row, that of the second class
        rows, offsets = np.vstack([-rows, rows]) / 2, np.array([-offsets[0], offsets[0]]) / 2
    weights = np.zeros((head.out_features, head.in_features))
    biases = np.full(head.out_features, _UNSEEN)
    weights[fitted.classes_] = rows / deviation
    biases[fitted.classes_] = offsets - (rows / deviation) @ mean
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weights))
        head.bias.copy_(torch.from_numpy(biases))
