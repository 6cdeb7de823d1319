"""An experiment's config and its faces to a Classifier: one function per family."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_mlops.augment import make_augment
from fer_mlops.calibration import Calibration, fit_calibration
from fer_mlops.classifier import Classifier, NetworkScorer
from fer_mlops.config import (
    BaselineExperiment,
    CnnConfig,
    CnnExperiment,
    Experiment,
    TrainingConfig,
    TransferConfig,
    TransferExperiment,
)
from fer_mlops.datasets.table import Labels
from fer_mlops.emotions import EMOTIONS
from fer_mlops.features import frozen_features, hog_vectors
from fer_mlops.images import Advance, Pixels, ignore_progress
from fer_mlops.losses import LOSSES, Loss, log_prior
from fer_mlops.metrics import accuracy, balanced_accuracy, confusion_counts, macro_f1
from fer_mlops.models import build_network
from fer_mlops.models.hog_svm import fit_hog_svm
from fer_mlops.models.transfer import TransferNetwork, build_pretrained
from fer_mlops.training import Epoch, Examples, choose_device, fit

Begin = Callable[[str, int], Advance]
"""Starts a named stage of so many things; returns what to tell of each thing done."""


def begin_silently(_: str, __: int) -> Advance:
    """Starts a stage and shows nothing."""
    return ignore_progress


@dataclass(frozen=True, kw_only=True)
class Faces:
    """One part of a split."""

    pixels: Pixels
    labels: Labels
    identities: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.labels)

    def examples(self) -> Examples:
        return Examples(self.pixels, torch.from_numpy(self.labels))

    def class_counts(self) -> Tensor:
        return torch.from_numpy(np.bincount(self.labels, minlength=len(EMOTIONS)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One epoch of a network, or one point of the baseline's learning curve."""

    number: int
    """From 1; the horizontal axis of every chart."""
    metrics: Mapping[str, float]
    probabilities: NDArray[np.floating[Any]]
    """Of the validation faces, [n, 7]."""
    classifier: Classifier
    """As it stands now, not calibrated yet; not to be changed."""
    has_images: bool
    """Whether pictures of this step are worth their time."""
    state: Callable[[], dict[str, Any]] | None
    """What ``learn`` needs to go on after this step; None where a family cannot."""


OnStep = Callable[[Step], None]


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What learning ends with."""

    classifier: Classifier
    facts: Mapping[str, str]
    """What was decided on the way, such as the backbone and why."""


def learn(
    experiment: Experiment,
    train: Faces,
    valid: Faces,
    *,
    on_step: OnStep,
    begin: Begin = begin_silently,
    resume_from: Mapping[str, Any] | None = None,
) -> Learned:
    """Returns the classifier fitted to ``train``, chosen and calibrated on ``valid``.

    Args:
        experiment: The family and its settings.
        train: Faces to fit.
        valid: Faces that choose epochs, prior strength and temperature.
        on_step: Called after each step; may raise to end the learning.
        begin: Told of each stage.
        resume_from: What a ``Step.state`` returned.
    """
    match experiment:
        case BaselineExperiment():
            return _learn_baseline(experiment, train, valid, on_step, begin)
        case CnnExperiment():
            return _learn_cnn(experiment, train, valid, on_step, begin, resume_from)
        case TransferExperiment():
            return _learn_transfer(experiment, train, valid, on_step, begin, resume_from)


def _learn_baseline(
    experiment: BaselineExperiment, train: Faces, valid: Faces, on_step: OnStep, begin: Begin
) -> Learned:
    config, seed = experiment.hog_svm, experiment.seed
    advance = begin("HOG features", len(train) + len(valid))
    shape = {"cell": config.cell, "orientations": config.orientations}
    train_vectors = hog_vectors(train.pixels, **shape, advance=advance)
    valid_vectors = hog_vectors(valid.pixels, **shape, advance=advance)
    advance = begin("learning curve", len(config.fractions))
    order = np.random.default_rng(seed).permutation(len(train))
    prior = log_prior(train.class_counts()).numpy()
    zeros = np.zeros(len(EMOTIONS), np.float32)
    for number, fraction in enumerate(config.fractions, start=1):
        rows = np.sort(order[: max(2, round(fraction * len(train)))])
        if len(np.unique(train.labels[rows])) < 2:
            continue  # a share so small that it shows one emotion teaches nothing
        machine = fit_hog_svm(train_vectors[rows], train.labels[rows], config, seed)
        logits = machine.logits_of_vectors(valid_vectors)
        step = Step(
            number=number,
            metrics={"train/faces": len(rows), **_valid_metrics(logits, valid.labels)},
            probabilities=np.exp(logits),
            classifier=Classifier(
                family="baseline",
                image_size=config.image_size,
                scorer=machine,
                calibration=_uncalibrated(zeros),
            ),
            has_images=True,
            state=None,
        )
        on_step(step)
        advance(1)
    calibration = fit_calibration(logits, valid.labels, zeros, prior)
    return Learned(classifier=dataclasses.replace(step.classifier, calibration=calibration), facts={})


def _valid_metrics(logits: NDArray[np.float32], labels: Labels) -> dict[str, float]:
    counts = confusion_counts(labels, logits.argmax(1))
    return {
        "valid/loss": float(-logits[np.arange(len(labels)), labels].mean()),
        "valid/accuracy": float(accuracy(counts)),
        "valid/macro_f1": float(macro_f1(counts)),
        "valid/balanced_accuracy": float(balanced_accuracy(counts)),
    }


def _uncalibrated(bias: NDArray[np.float32]) -> Calibration:
    return Calibration(bias=tuple(map(float, bias)), temperature=1.0, prior_strength=1.0)


def _learn_cnn(
    experiment: CnnExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    begin: Begin,
    resume_from: Mapping[str, Any] | None,
) -> Learned:
    device = choose_device(experiment.training.device)
    with torch.random.fork_rng():
        torch.manual_seed(experiment.seed)
        network = build_network("cnn", experiment.cnn, len(EMOTIONS)).to(device)
    advance = begin("epochs", experiment.training.epochs)
    loss = _loss(experiment, train)

    def on_epoch(epoch: Epoch) -> None:
        on_step(_step(epoch, _Stage("cnn", experiment.cnn, loss)))
        advance(1)

    fit(
        network,
        train.examples(),
        valid.examples(),
        loss,
        experiment.training,
        seed=experiment.seed,
        augment=make_augment(experiment.augment),
        on_epoch=on_epoch,
        resume_from=resume_from["fit"] if resume_from else None,
    )
    return Learned(classifier=_calibrated("cnn", network, experiment.cnn, train, valid, loss), facts={})


def _learn_transfer(
    experiment: TransferExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    begin: Begin,
    resume_from: Mapping[str, Any] | None,
) -> Learned:
    device = choose_device(experiment.training.device)
    with torch.random.fork_rng():
        torch.manual_seed(experiment.seed)
        network, origin = build_pretrained(experiment.transfer, len(EMOTIONS))
    network.to(device)
    architecture = dataclasses.replace(experiment.transfer, backbone=origin.backbone)
    loss = _loss(experiment, train)
    num_steps_before = 0
    phase = resume_from["phase"] if resume_from else 1

    def on_epoch(epoch: Epoch) -> None:
        stage = _Stage("transfer", architecture, loss, phase, num_steps_before, network)
        on_step(_step(epoch, stage))
        advance(1)

    if phase == 1:
        head = _frozen_examples(network, train, valid, begin)
        advance = begin("frozen epochs", experiment.transfer.frozen_epochs)
        history = fit(
            network.head,
            *head,
            loss,
            _frozen_training(experiment),
            seed=experiment.seed,
            on_epoch=on_epoch,
            resume_from=resume_from["fit"] if resume_from else None,
        )
        num_steps_before, resume_from = len(history), None
    else:
        assert resume_from is not None
        num_steps_before = resume_from["steps_before"]
    phase = 2
    advance = begin("whole-network epochs", experiment.training.epochs)
    fit(
        network,
        train.examples(),
        valid.examples(),
        loss,
        experiment.training,
        seed=experiment.seed,
        augment=make_augment(experiment.augment),
        on_epoch=on_epoch,
        resume_from=resume_from["fit"] if resume_from else None,
    )
    return Learned(
        classifier=_calibrated("transfer", network, architecture, train, valid, loss),
        facts={"backbone": origin.backbone, "backbone_reason": origin.reason},
    )


def _frozen_training(experiment: TransferExperiment) -> TrainingConfig:
    """Returns how the head alone is fitted: to convergence, on features that no longer change."""
    return dataclasses.replace(
        experiment.training,
        epochs=experiment.transfer.frozen_epochs,
        learning_rate=experiment.transfer.frozen_learning_rate,
        batch_size=256,
        schedule="one_cycle",
        ema_decay=0.0,
        patience=experiment.transfer.frozen_epochs,
    )


def _frozen_examples(
    network: TransferNetwork, train: Faces, valid: Faces, begin: Begin
) -> tuple[Examples, Examples]:
    """Returns the backbone's features of training faces and their mirror images, and of valid."""
    advance = begin("frozen features", 2 * len(train) + len(valid))
    device = network.mean.device
    embed = _Embed(network)

    def features(faces: Faces, mirrored: bool) -> Tensor:
        return frozen_features(embed, faces.pixels, device=device, mirrored=mirrored, advance=advance)

    both = torch.cat([features(train, False), features(train, True)])
    labels = torch.from_numpy(train.labels).repeat(2)
    return Examples(both, labels), Examples(features(valid, False), torch.from_numpy(valid.labels))


class _Embed(nn.Module):
    """The network up to its pooled features."""

    def __init__(self, network: TransferNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network.embed(images)


def _loss(experiment: CnnExperiment | TransferExperiment, train: Faces) -> Loss:
    training = experiment.training
    return LOSSES[training.loss](train.class_counts(), training.label_smoothing)


@dataclass(frozen=True)
class _Stage:
    """Where in a family's learning an epoch stands."""

    family: str
    architecture: CnnConfig | TransferConfig
    loss: Loss
    phase: int = 2
    """1 while a backbone is frozen, else 2."""
    steps_before: int = 0
    """Steps that earlier phases took."""
    whole: nn.Module | None = None
    """The network around the head, for phase 1, in which the fit sees the head alone."""


_FROZEN_IMAGES_EVERY = 10


def _step(epoch: Epoch, stage: _Stage) -> Step:
    """Returns the epoch as a step of the run."""
    is_frozen = stage.phase == 1
    network = stage.whole if is_frozen and stage.whole is not None else epoch.network
    bias = stage.loss.natural_bias.numpy()
    return Step(
        number=stage.steps_before + epoch.result.epoch,
        metrics={**epoch.result.metrics(), "train/phase": stage.phase},
        probabilities=epoch.probabilities,
        classifier=Classifier(
            family=stage.family,
            image_size=stage.architecture.image_size,
            scorer=NetworkScorer(network, stage.architecture),
            calibration=_uncalibrated(bias),
        ),
        has_images=not is_frozen or epoch.result.epoch % _FROZEN_IMAGES_EVERY == 0,
        state=lambda: {
            "phase": stage.phase,
            "steps_before": stage.steps_before,
            "fit": epoch.state(),
        },
    )


def _calibrated(
    family: str,
    network: nn.Module,
    architecture: CnnConfig | TransferConfig,
    train: Faces,
    valid: Faces,
    loss: Loss,
) -> Classifier:
    """Returns the bundle of a fitted network."""
    scorer = NetworkScorer(network, architecture)
    prior = log_prior(train.class_counts()).numpy()
    logits = scorer.logits(valid.pixels)
    return Classifier(
        family=family,
        image_size=architecture.image_size,
        scorer=scorer,
        calibration=fit_calibration(logits, valid.labels, loss.natural_bias.numpy(), prior),
    )
