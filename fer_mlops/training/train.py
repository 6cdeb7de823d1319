"""An experiment and its faces to a Classifier: one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fer_mlops.config import BaselineExperiment, CnnExperiment, Experiment, TransferExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.errors import TrainingError
from fer_mlops.files import cache_folder
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.training.baseline import learn_baseline
from fer_mlops.training.cnn import learn_cnn
from fer_mlops.training.steps import Learned, OnStep
from fer_mlops.training.transfer import learn_transfer


def learn(
    experiment: Experiment,
    train: Faces,
    valid: Faces,
    *,
    on_step: OnStep,
    begin: Begin = begin_silently,
    cache: Path | None = None,
    resume_from: Mapping[str, Any] | None = None,
) -> Learned:
    """Returns the classifier fitted to ``train``, chosen and calibrated on ``valid``.

    Args:
        experiment: The family and its settings.
        train: Faces to fit.
        valid: Faces that choose epochs, prior strength and temperature.
        on_step: Called after each step; may raise to end the learning.
        begin: Told of each stage.
        cache: Folder for features; None for ``cache_folder()``.
        resume_from: What a ``Step.state`` returned.

    Raises:
        TrainingError: The loss is no longer a number, or the device's memory is full.
    """
    cache = cache or cache_folder()
    try:
        match experiment:
            case BaselineExperiment():
                return learn_baseline(experiment, train, valid, on_step, begin, cache)
            case CnnExperiment():
                return learn_cnn(experiment, train, valid, on_step, begin, resume_from)
            case TransferExperiment():
                return learn_transfer(experiment, train, valid, on_step, begin, cache, resume_from)
    except torch.OutOfMemoryError as error:  # beside a training step, whose batch could be smaller
        raise TrainingError(
            "the device's memory is full: end other programs that use it, choose a smaller "
            "--image-size, or --set training.device=cpu"
        ) from error
