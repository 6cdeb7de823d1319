"""Training of a classifier of any family; each family has its own module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fer_mlops.config import (
    BaselineExperiment,
    CnnExperiment,
    EnsembleExperiment,
    Experiment,
    TransferExperiment,
)
from fer_mlops.data.faces import Faces
from fer_mlops.errors import TrainingError
from fer_mlops.progress import Progress, no_progress
from fer_mlops.training.baseline import train_baseline
from fer_mlops.training.cnn import train_cnn
from fer_mlops.training.ensemble import train_ensemble
from fer_mlops.training.steps import OnStep, TrainingResult
from fer_mlops.training.transfer import train_transfer


def train_classifier(
    experiment: Experiment,
    train: Faces,
    valid: Faces,
    *,
    on_step: OnStep,
    progress: Progress = no_progress,
    cache: Path,
    resume_from: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Returns the classifier trained on ``train``, selected and calibrated on ``valid``.

    Args:
        experiment: Family and settings.
        train: Faces to train on.
        valid: Faces that select epochs, prior strength and temperature.
        on_step: Called after each step; may raise to stop training.
        progress: Called at the start of each stage.
        cache: Folder for features of the faces and for measurements.
        resume_from: Result of ``Step.state``, to resume after that step.

    Raises:
        TrainingError: The loss is not finite, or the device is out of memory.
    """
    try:
        match experiment:
            case BaselineExperiment():
                return train_baseline(experiment, train, valid, on_step, progress, cache)
            case EnsembleExperiment():
                return train_ensemble(experiment, train, valid, on_step, progress, cache, resume_from)
            case CnnExperiment():
                return train_cnn(experiment, train, valid, on_step, progress, cache, resume_from)
            case TransferExperiment():
                return train_transfer(experiment, train, valid, on_step, progress, cache, resume_from)
    except torch.OutOfMemoryError as error:  # outside a training step: no batch to reduce
        raise TrainingError(
            "the device's memory is full: end other programs that use it, choose a smaller "
            "--image-size, or --set training.device=cpu"
        ) from error
