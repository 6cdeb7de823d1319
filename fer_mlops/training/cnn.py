"""CNN training from random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fer_mlops.config import CnnExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.models import build_network
from fer_mlops.progress import Progress
from fer_mlops.training.arithmetic import with_arithmetic
from fer_mlops.training.devices import choose_device
from fer_mlops.training.loop import Epoch
from fer_mlops.training.networks import TrainingPhase, calibrated, fit_faces, make_loss, to_step
from fer_mlops.training.steps import OnStep, TrainingResult


def train_cnn(
    experiment: CnnExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    progress: Progress,
    cache: Path,
    resume_from: Mapping[str, Any] | None,
) -> TrainingResult:
    """Returns the network trained from random weights; reports one step per epoch."""
    device = choose_device(experiment.training.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(experiment.seed)  # networks are built on the CPU
        network = build_network("cnn", experiment.cnn, len(EMOTIONS)).to(device)
    kept = resume_from["facts"] if resume_from else {}
    side = experiment.cnn.image_size
    training, facts = with_arithmetic(experiment.training, network, side, cache, kept)
    experiment = replace(experiment, training=training)
    advance = progress("training", experiment.training.epochs * (len(train) + len(valid)))
    loss = make_loss(experiment.training, train)

    def on_epoch(epoch: Epoch) -> None:
        on_step(to_step(epoch, TrainingPhase("cnn", experiment.cnn, facts=facts)))

    fit_faces(network, experiment, train, valid, loss, on_epoch, advance, resume_from)
    classifier = calibrated(
        "cnn", network, experiment.cnn, train, valid, loss.natural_bias.numpy(), experiment.max_error
    )
    return TrainingResult(classifier=classifier, facts=facts)
