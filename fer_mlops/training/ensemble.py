"""Ensemble training: a linear head on features of frozen experts, then networks from random weights."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from fer_mlops.config import EnsembleExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.classification import Labels
from fer_mlops.models import build_network
from fer_mlops.models.calibration import log_softmax
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.ensemble import Ensemble, build_ensemble
from fer_mlops.progress import Advance, Progress, cached
from fer_mlops.training.arithmetic import with_arithmetic
from fer_mlops.training.devices import choose_device
from fer_mlops.training.feature_cache import (
    Embed,
    cached_features,
    digest_of_pixels,
    digest_of_weights,
    frozen_features,
)
from fer_mlops.training.loop import Epoch
from fer_mlops.training.networks import calibrated, fit_faces, make_loss
from fer_mlops.training.steps import OnStep, Step, TrainingResult, uncalibrated, valid_metrics

Features = NDArray[np.float32]
LogProbabilities = NDArray[np.floating[Any]]
_UNSEEN = -20.0  # logit of an emotion without a training face: a probability of about 1e-9
_LEAST_DEVIATION = 1e-6
_LEAST_PROBABILITY = 1e-12
_AT_ONCE = 1024  # faces made smaller at a time


def train_ensemble(
    experiment: EnsembleExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    progress: Progress,
    cache: Path,
    resume_from: Mapping[str, Any] | None,
) -> TrainingResult:
    """Returns the fused ensemble; reports one step for the head, then one per epoch of each network."""
    config = experiment.ensemble
    ensemble = build_ensemble(config, len(EMOTIONS))
    head = _train_head(ensemble, experiment, train, valid, progress, cache)
    loss = make_loss(experiment.training, train)
    ensemble.network_bias.copy_(loss.natural_bias)
    device, num_epochs = choose_device(experiment.training.device), experiment.training.epochs
    experiment, facts = _with_arithmetic(experiment, device, cache, resume_from)
    members = _Members(ensemble, experiment, valid.labels, head, on_step, facts)
    finished, begun = [], None
    if resume_from:
        finished, begun = resume_from["fit"]["networks"], resume_from["fit"]["epoch"]
    else:
        members.report(1, "head of the experts", None)
    small_train, small_valid = (
        _shrunk(part, config.network.image_size) if config.networks else part for part in (train, valid)
    )
    seeds = np.random.default_rng(experiment.seed).integers(2**32, size=config.networks)
    for number, seed in enumerate(map(int, seeds)):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # networks are built on the CPU
            network = build_network("cnn", config.network, len(EMOTIONS))
        if number < len(finished):
            network.load_state_dict(finished[number])
        else:
            fit_faces(
                network.to(device),
                dataclasses.replace(experiment, seed=seed),
                small_train,
                small_valid,
                loss,
                members.report_epoch,
                progress(
                    f"training network {number + 1}/{config.networks}",
                    num_epochs * (len(train) + len(valid)),
                ),
                {"fit": begun} if begun else None,
            )
            begun = None
        members.add(network.cpu(), np.asarray(small_valid.pixels))
    zeros = np.zeros(len(EMOTIONS), np.float32)
    fused = members.fused()
    classifier = calibrated("ensemble", fused, config, train, valid, zeros, experiment.max_error)
    return TrainingResult(classifier=classifier, facts=facts)


def _with_arithmetic(
    experiment: EnsembleExperiment,
    device: torch.device,
    cache: Path,
    resume_from: Mapping[str, Any] | None,
) -> tuple[EnsembleExperiment, dict[str, str]]:
    """Returns the experiment with the precision of its networks, and the facts to log about it."""
    if not experiment.ensemble.networks:
        return experiment, {}
    config, kept = experiment.ensemble.network, resume_from["facts"] if resume_from else {}
    with torch.random.fork_rng(devices=[]):
        network = build_network("cnn", config, len(EMOTIONS)).to(device)
    training, facts = with_arithmetic(experiment.training, network, config.image_size, cache, kept)
    return dataclasses.replace(experiment, training=training), facts


class _Members:
    """Networks of an ensemble that are trained so far, and their answers about the validation faces."""

    def __init__(
        self,
        ensemble: Ensemble,
        experiment: EnsembleExperiment,
        labels: Labels,
        head: LogProbabilities,
        on_step: OnStep,
        facts: Mapping[str, str],
    ) -> None:
        self.ensemble, self.experiment, self.head, self.on_step = ensemble, experiment, head, on_step
        self.labels, self.facts = labels, facts
        self.networks: list[nn.Module] = []
        self.answers: list[LogProbabilities] = []

    def add(self, network: nn.Module, pixels: NDArray[np.uint8]) -> None:
        """Adds a trained network, after asking it about the validation faces ``pixels``."""
        config = self.experiment.ensemble
        scorer = NetworkScorer(network, config.network)
        sides = [pixels, pixels[:, :, ::-1]] if config.mirror else [pixels]
        bias = self.ensemble.network_bias.numpy()
        self.answers.append(np.mean([log_softmax(scorer.logits(s) + bias) for s in sides], axis=0))
        self.networks.append(network)

    def fused(self) -> Ensemble:
        """Returns the ensemble of the head and all networks."""
        return self.ensemble.with_networks(self.networks, _fuse(self.head, self.answers, self.labels)[1])

    def report_epoch(self, epoch: Epoch) -> None:
        """Reports an epoch of the network that is being trained."""
        number, num = len(self.networks), self.experiment.ensemble.networks
        name = f"network {number + 1}/{num}, epoch {epoch.result.epoch}/{epoch.num_epochs}"
        self.report(1 + number * epoch.num_epochs + epoch.result.epoch, name, epoch)

    def report(self, number: int, name: str, epoch: Epoch | None) -> None:
        """Reports the head, fused with the networks so far and that of ``epoch``."""
        networks, answers = self.networks, self.answers
        metrics = {"train/phase": 1.0 if epoch is None else 2.0}  # 1: everything but the head is frozen
        if epoch:
            networks = [*networks, copy.deepcopy(epoch.network).cpu()]
            answers = [*answers, np.log(epoch.probabilities + _LEAST_PROBABILITY)]
            metrics |= epoch.result.metrics()
        fused, share = _fuse(self.head, answers, self.labels)
        config = self.experiment.ensemble
        self.on_step(
            Step(
                number=number,
                name=name,
                metrics={**metrics, **valid_metrics(fused, self.labels)},
                probabilities=np.exp(fused),
                classifier=Classifier(
                    family="ensemble",
                    image_size=config.image_size,
                    scorer=NetworkScorer(self.ensemble.with_networks(networks, share), config),
                    calibration=uncalibrated(np.zeros(len(EMOTIONS), np.float32)),
                ),
                has_images=True,
                state=lambda: {
                    "phase": 2,
                    "steps_before": 0,
                    "facts": dict(self.facts),
                    "fit": {
                        "networks": [network.state_dict() for network in self.networks],
                        "epoch": epoch.state() if epoch else None,
                    },
                },
            )
        )


def _train_head(
    ensemble: Ensemble,
    experiment: EnsembleExperiment,
    train: Faces,
    valid: Faces,
    progress: Progress,
    cache: Path,
) -> LogProbabilities:
    """Fits the head to the features of the training faces; returns its validation answers [n, 7]."""
    config, device = experiment.ensemble, choose_device(experiment.training.device)
    num_faces = (len(train) + len(valid)) * (2 if config.mirror else 1)
    advance = progress("features of experts", num_faces)
    embed = Embed(ensemble).to(device)
    weights = digest_of_weights(ensemble.experts)
    train_sides, valid_sides = (
        _features(embed, part, weights, config.mirror, cache, advance, num_faces)
        for part in (train, valid)
    )
    ensemble.cpu()
    _fit_head(ensemble.head, np.mean(train_sides, axis=0), train.labels, config.penalty)
    with torch.inference_mode():
        logits = [ensemble.head(torch.from_numpy(side)).numpy() for side in valid_sides]
    return np.asarray(np.mean([log_softmax(each) for each in logits], axis=0))


def _features(
    embed: Embed,
    faces: Faces,
    weights: str,
    mirror: bool,
    cache: Path,
    advance: Advance,
    num_faces: int,
) -> list[Features]:
    """Returns the features [n, features] of the faces, and of their mirror images if ``mirror``."""
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

    return [one_side(False), one_side(True)] if mirror else [one_side(False)]


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


def _shrunk(faces: Faces, side: int) -> Faces:
    """Returns the faces at ``side`` pixels, each the mean of a square; ``side`` divides their own."""
    small = np.empty((len(faces), side, side), np.uint8)
    factor = faces.pixels.shape[-1] // side
    for start in range(0, len(faces), _AT_ONCE):
        part = np.asarray(faces.pixels[start : start + _AT_ONCE])
        squares = part.reshape(len(part), side, factor, side, factor)
        small[start : start + len(part)] = squares.mean((2, 4)).round()
    return dataclasses.replace(faces, pixels=small)


def _fuse(
    head: LogProbabilities, networks: list[LogProbabilities], labels: Labels
) -> tuple[LogProbabilities, float]:
    """Returns the fused log-probabilities [n, 7] and the networks' share, that with the least loss."""
    if not networks:
        return head, 0.0
    difference = np.mean(networks, axis=0) - head

    def loss(share: float) -> float:
        return valid_metrics(log_softmax(head + share * difference), labels)["valid/loss"]

    share = float(minimize_scalar(loss, bounds=(0, 1), method="bounded").x)
    return log_softmax(head + share * difference), share
