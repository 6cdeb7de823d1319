"""Logged model: the files and requirements that MLflow stores for a classifier."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, DataType, Schema
from packaging.version import Version

from fer_mlops.config.models import TransferConfig
from fer_mlops.emotions import EMOTIONS

if TYPE_CHECKING:
    from fer_mlops.models.classifier import Classifier


PROBE_FILE = "probe.json"
"""File in the bundle with some faces and the model's predictions for them at training time."""
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image")]),
    outputs=Schema(
        [
            ColSpec(DataType.string, "emotion"),
            ColSpec(DataType.double, "confidence"),
            *(ColSpec(DataType.double, emotion) for emotion in EMOTIONS),
            ColSpec(DataType.boolean, "is_sure"),
        ]
    ),
)

# packages that loading any model and predicting import, without their own dependencies
_REQUIREMENTS = ("mlflow", "torch", "numpy", "pandas", "pillow")


def requirements_of(classifier: Classifier) -> list[str]:
    """Returns the pip requirements for loading the classifier, at the versions installed here."""
    from fer_mlops.models.backbones import BACKBONES  # loads torch

    names = list(_REQUIREMENTS)
    architecture = getattr(classifier.scorer, "architecture", None)  # only networks have one
    if isinstance(architecture, TransferConfig) and architecture.backbone not in BACKBONES:
        names += ["torchvision", *(["timm"] if architecture.backbone.startswith("timm:") else [])]
    # without local labels: PyPI has no 2.14.1+cpu, which is torch's wheel for CPUs
    return [f"{name}=={Version(version(name)).public}" for name in names]


def probe_of(classifier: Classifier, examples: Sequence[bytes]) -> str:
    """Returns the example faces and the classifier's probabilities for them, as JSON."""
    probe = {
        "emotions": EMOTIONS,
        "images": [base64.b64encode(example).decode() for example in examples],
        "probabilities": classifier.predict_proba(classifier.prepare(list(examples))).tolist(),
    }
    return json.dumps(probe)
