"""A pretrained backbone: its head on frozen features, then the whole network from there.

Linear probing, then fine-tuning (LP-FT, arXiv 2202.10054).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fer_mlops.augment import make_augment
from fer_mlops.config import TrainingConfig, TransferExperiment
from fer_mlops.emotions import EMOTIONS
from fer_mlops.features import frozen_features
from fer_mlops.learning.networks import Stage, calibrated, make_loss, to_step
from fer_mlops.learning.steps import Faces, Learned, OnStep
from fer_mlops.models.transfer import TransferNetwork, build_pretrained
from fer_mlops.progress import Begin
from fer_mlops.session import Examples
from fer_mlops.training import Epoch, choose_device, fit


def learn_transfer(
    experiment: TransferExperiment,
    train: Faces,
    valid: Faces,
    on_step: OnStep,
    begin: Begin,
    resume_from: Mapping[str, Any] | None,
) -> Learned:
    """Returns the fine-tuned backbone; one step per epoch, frozen ones first."""
    device = choose_device(experiment.training.device)
    with torch.random.fork_rng():
        torch.manual_seed(experiment.seed)
        network, origin = build_pretrained(experiment.transfer, len(EMOTIONS))
    network.to(device)
    architecture = dataclasses.replace(experiment.transfer, backbone=origin.backbone)
    loss = make_loss(experiment, train)
    num_steps_before = 0
    phase = resume_from["phase"] if resume_from else 1

    def on_epoch(epoch: Epoch) -> None:
        stage = Stage("transfer", architecture, loss, phase, num_steps_before, network)
        on_step(to_step(epoch, stage))
        advance(1)

    if phase == 1:
        head = _frozen_examples(network, origin.backbone, train, valid, begin)
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
        classifier=calibrated("transfer", network, architecture, train, valid, loss),
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
    network: TransferNetwork, name: str, train: Faces, valid: Faces, begin: Begin
) -> tuple[Examples, Examples]:
    """Returns the backbone's features of training faces and their mirror images, and of valid."""
    advance = begin(f"features of frozen {name}", 2 * len(train) + len(valid))
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
