"""Transfer training: first the head on frozen features, then the whole network.

Linear probing, then fine-tuning (LP-FT, arXiv 2202.10054).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fer_mlops.config import TrainingConfig, TransferExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.models.backbones import find_backbone
from fer_mlops.models.base import to_images
from fer_mlops.models.dlib_face import settle_batch_norms
from fer_mlops.models.transfer import TransferNetwork, build_pretrained
from fer_mlops.progress import Progress, cached
from fer_mlops.training import distributed
from fer_mlops.training.arithmetic import with_arithmetic
from fer_mlops.training.devices import choose_device
from fer_mlops.training.examples import Examples
from fer_mlops.training.feature_cache import (
    Embed,
    cached_features,
    digest_of_pixels,
    digest_of_weights,
    frozen_features,
)
from fer_mlops.training.loop import Epoch, fit
from fer_mlops.training.networks import TrainingPhase, calibrated, fit_faces, make_loss, to_step
from fer_mlops.training.steps import OnStep, TrainingResult

# number of training faces that give batch statistics to a backbone published without them
_FACES_TO_SETTLE = 512


def train_transfer(
    experiment: TransferExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    progress: Progress,
    cache: Path,
    resume_from: Mapping[str, Any] | None,
) -> TrainingResult:
    """Returns the fine-tuned network; reports one step per epoch, frozen epochs first."""
    device = choose_device(experiment.training.device)
    network, origin = _start(experiment, train, device, resume_from)
    side = experiment.transfer.image_size
    training, arithmetic = with_arithmetic(experiment.training, network, side, cache, origin)
    experiment = dataclasses.replace(experiment, training=training)
    facts = {**origin, **arithmetic}
    architecture = dataclasses.replace(experiment.transfer, backbone=facts["backbone"])
    loss = make_loss(experiment.training, train)
    num_steps_before = 0
    first = 1 if experiment.transfer.frozen_epochs else 2
    phase = resume_from["phase"] if resume_from else first

    def on_epoch(epoch: Epoch) -> None:
        training = TrainingPhase("transfer", architecture, phase, num_steps_before, network, facts)
        on_step(to_step(epoch, training))

    if phase == 1:
        dtype = getattr(torch, experiment.training.precision)
        head = _frozen_examples(network, facts["backbone"], train, valid, dtype, progress, cache)
        num_faces = sum(map(len, head))
        advance = progress("training the head", experiment.transfer.frozen_epochs * num_faces)
        history = fit(
            network.head,
            *head,
            loss,
            _frozen_training(experiment),
            seed=experiment.seed,
            on_epoch=on_epoch,
            advance=advance,
            resume_from=resume_from["fit"] if resume_from else None,
        )
        num_steps_before, resume_from = len(history), None
    elif resume_from:
        num_steps_before = resume_from["steps_before"]
    phase = 2
    advance = progress("fine-tuning", experiment.training.epochs * (len(train) + len(valid)))
    fit_faces(network, experiment, train, valid, loss, on_epoch, advance, resume_from)
    classifier = calibrated(
        "transfer", network, architecture, train, valid, loss.natural_bias.numpy(), experiment.max_error
    )
    return TrainingResult(classifier=classifier, facts=facts)


def _start(
    experiment: TransferExperiment,
    train: Faces,
    device: torch.device,
    resume_from: Mapping[str, Any] | None,
) -> tuple[TransferNetwork, Mapping[str, str]]:
    """Returns the pretrained network on ``device``, and its backbone with the reason for it."""
    config = experiment.transfer
    if resume_from:  # the backbone that `auto` selects may have changed since
        config = dataclasses.replace(config, backbone=resume_from["facts"]["backbone"])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(experiment.seed)  # networks are built on the CPU
        with distributed.main_process_first():  # only the first process downloads
            network, origin = build_pretrained(config, len(EMOTIONS))
    network.to(device)
    if origin.weights != "none" and not find_backbone(origin.backbone).has_statistics:
        rows = np.random.default_rng(experiment.seed).permutation(len(train))[:_FACES_TO_SETTLE]
        settle_batch_norms(network, to_images(train.pixels[np.sort(rows)], device))
    facts = {"backbone": origin.backbone, "backbone_reason": origin.reason}
    return network, resume_from["facts"] if resume_from else facts


def _frozen_training(experiment: TransferExperiment) -> TrainingConfig:
    """Returns the settings for training the head alone, to convergence on fixed features."""
    training = experiment.training
    return dataclasses.replace(
        training,
        epochs=experiment.transfer.frozen_epochs,
        learning_rate=experiment.transfer.frozen_learning_rate,
        batch_size=256,
        schedule="one_cycle",
        ema_decay=0.0,
        patience=experiment.transfer.frozen_epochs,
    )


def _frozen_examples(
    network: TransferNetwork,
    name: str,
    train: Faces,
    valid: Faces,
    arithmetic: torch.dtype,
    progress: Progress,
    cache: Path,
) -> tuple[Examples, Examples]:
    """Returns the backbone's features of ``train`` with its mirror images, and of ``valid``."""
    num_faces = 2 * len(train) + len(valid)
    advance = progress(f"features of frozen {name}", num_faces)
    device = network.mean.device
    embed = Embed(network)
    weights = digest_of_weights(network)

    def features(faces: Faces, mirrored: bool) -> Tensor:
        def compute() -> Tensor:
            return frozen_features(
                embed,
                faces.pixels,
                device=device,
                mirrored=mirrored,
                arithmetic=arithmetic,
                advance=advance,
            )

        how = (str(mirrored), device.type, str(arithmetic))
        parts = (name, weights, digest_of_pixels(faces.pixels), *how)
        return cached_features(cache, parts, compute, lambda: advance(len(faces), cached(num_faces)))

    both = torch.cat([features(train, False), features(train, True)])
    labels = torch.from_numpy(train.labels).repeat(2)
    targets = None if train.targets is None else torch.from_numpy(train.targets).repeat(2, 1)
    return Examples(both, labels, targets), Examples(
        features(valid, False), torch.from_numpy(valid.labels)
    )
