"""Training of both network families: the loss, the fit, an epoch as a step, the calibrated bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fer_mlops.config import Architecture, EpochExperiment, TrainingConfig
from fer_mlops.data.faces import Faces
from fer_mlops.models.calibration_fit import fit_calibration, with_thresholds
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.progress import Advance
from fer_mlops.training.augmentation import make_augment
from fer_mlops.training.examples import Examples
from fer_mlops.training.loop import Epoch, OnEpoch, fit
from fer_mlops.training.losses import (
    LOSSES,
    Loss,
    after_sampling,
    distilled,
    face_weights,
    log_prior,
    logit_adjusted,
)
from fer_mlops.training.steps import Step, uncalibrated


def make_loss(training: TrainingConfig, train: Faces) -> Loss:
    """Returns the loss of ``training`` for ``train``, corrected for its sampling, with its teacher."""
    make = LOSSES[training.loss]
    if training.loss == "logit_adjusted":  # the only loss with a setting of its own
        make = partial(logit_adjusted, tau=training.logit_adjustment_tau)
    counts = train.class_counts()
    if training.sampling == "natural":
        loss = make(counts, training.label_smoothing)
    else:
        shown = train.class_counts(face_weights(torch.from_numpy(train.labels), training.sampling))
        loss = after_sampling(make(shown, training.label_smoothing), counts, shown)
    if train.teacher_probabilities is None:
        return loss
    return distilled(loss, training.teacher_weight, training.teacher_temperature)


@dataclass(frozen=True)
class TrainingPhase:
    """Phase of training that an epoch belongs to."""

    family: str
    architecture: Architecture
    phase: int = 2
    """1 while the backbone is frozen, else 2."""
    steps_before: int = 0
    """Number of steps in earlier phases."""
    whole: nn.Module | None = None
    """Whole network in phase 1, where only its head is trained."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Choices made before the first step, kept when the run resumes."""


_FROZEN_IMAGES_EVERY = 10


def to_step(epoch: Epoch, training: TrainingPhase) -> Step:
    """Returns the epoch as a step of the run."""
    is_frozen = training.phase == 1
    network = training.whole if is_frozen and training.whole is not None else epoch.network
    bias = epoch.natural_bias.numpy()
    name = f"epoch {epoch.result.epoch}/{epoch.num_epochs}"
    return Step(
        number=training.steps_before + epoch.result.epoch,
        name=f"frozen {name}" if is_frozen else name,
        metrics={**epoch.result.metrics(), "train/phase": training.phase},
        probabilities=epoch.probabilities,
        classifier=Classifier(
            family=training.family,
            image_size=training.architecture.image_size,
            scorer=NetworkScorer(network, training.architecture),
            calibration=uncalibrated(bias),
        ),
        has_images=not is_frozen or epoch.result.epoch % _FROZEN_IMAGES_EVERY == 0,
        state=lambda: {
            "phase": training.phase,
            "steps_before": training.steps_before,
            "facts": dict(training.facts),
            "fit": epoch.state(),
        },
    )


def fit_faces(
    network: nn.Module,
    experiment: EpochExperiment,
    train: Faces,
    valid: Faces,
    loss: Loss,
    on_epoch: OnEpoch,
    advance: Advance,
    resume_from: Mapping[str, Any] | None,
) -> None:
    """Trains the whole network on augmented faces; it ends with the weights that ``fit`` keeps.

    ``resume_from`` is the result of ``Step.state``, to resume after that step.
    """
    fit(
        network,
        Examples.from_faces(train),
        Examples.from_faces(valid),
        loss,
        experiment.training,
        seed=experiment.seed,
        augment=make_augment(experiment.augment),
        on_epoch=on_epoch,
        advance=advance,
        resume_from=resume_from["fit"] if resume_from else None,
    )


def calibrated(
    family: str,
    network: nn.Module,
    architecture: Architecture,
    train: Faces,
    valid: Faces,
    bias: NDArray[np.float32],
    max_error: float,
) -> Classifier:
    """Returns the calibrated bundle of a network as it will be loaded: on the CPU, in float32."""
    # so calibration, and all scores measured on the bundle, do not depend on the training device
    fitted = Classifier(
        family=family,
        image_size=architecture.image_size,
        scorer=NetworkScorer(network, architecture),
        calibration=uncalibrated(bias),
    ).as_saved()
    prior = log_prior(train.class_counts()).numpy()
    logits = fitted.scorer.logits(valid.pixels)
    calibration = fit_calibration(logits, valid.labels, bias, prior)
    return replace(fitted, calibration=with_thresholds(calibration, logits, valid.labels, max_error))
