"""Experiments small enough for a test."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from fer_mlops.config import Experiment
from fer_mlops.config.recipes import build_experiment
from fer_mlops.data.loading import prepare_data
from fer_mlops.files import cache_folder
from fer_mlops.models.backbones import BACKBONES, Backbone
from fer_mlops.pipelines.train import Trained, run_experiment
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.tracking.runs import track_training

BACKBONES["tiny"] = Backbone(
    build=lambda: nn.Sequential(nn.Conv2d(3, 8, 3, stride=16, padding=1), nn.BatchNorm2d(8), nn.ReLU()),
    fill=lambda network, weights: None,
    fetch=dict,
    mean=(0.5, 0.5, 0.5),
    deviation=(0.5, 0.5, 0.5),
    lineage="no weights",
)
"""A backbone that trains in a blink; the real ones are tested in test_models.py."""

SETTINGS: dict[str, dict[str, object]] = {
    "baseline": {
        "hog_svm.image_size": 32,
        "hog_svm.cells": [8],
        "hog_svm.components": 20,
        "hog_svm.fractions": [0.5, 1.0],
    },
    "cnn": {
        "cnn.image_size": 32,
        "cnn.widths": [8, 16],
        "cnn.depths": [1, 1],
        "cnn.hidden": 16,
        "training.epochs": 2,
        "training.learning_rate": 0.01,
    },
    "transfer": {
        "transfer.image_size": 32,
        "transfer.backbone": "tiny",
        "transfer.frozen_epochs": 2,
        "training.epochs": 1,
    },
    "ensemble": {
        "ensemble.image_size": 32,
        "ensemble.experts": ["mini_xception"],  # the faster one
        "ensemble.network_image_size": 16,
        "training.epochs": 1,
    },
}


def tiny(family: str, faces: Path, **settings: object) -> Experiment:
    """Returns a quick experiment on ``faces``; in keywords ``__`` stands for the dot."""
    changes = {key.replace("__", "."): value for key, value in settings.items()}
    base = {"data.source": str(faces), "tracking.system_metrics": False}
    return build_experiment(family, settings={**base, **SETTINGS[family], **changes})


def train(experiment: Experiment, log: RunLog | None = None, **options: object) -> Trained:
    """Returns what the experiment ends with, stored nowhere; ``log`` gets its facts and metrics."""
    return run_experiment(experiment, prepare_data(experiment, cache_folder()), log, **options)  # type: ignore[arg-type]


def run(experiment: Experiment, *, run_id: str | None = None, **options: object) -> Trained:
    """Returns what the experiment ends with, in an MLflow run of its own or the one it resumes."""
    data = prepare_data(experiment, cache_folder())
    with track_training(experiment.tracking, experiment.family, resume=run_id) as tracker:
        return run_experiment(experiment, data, tracker, **options)  # type: ignore[arg-type]
