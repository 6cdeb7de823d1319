"""Loaded model version: predictions, explanations and registry metadata."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError
from fer_mlops.evaluation.explanation import explain
from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import OPERATING_POINTS, Logits, OperatingPoint
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting import plots
from fer_mlops.serving.http.batching import Batcher
from fer_mlops.serving.predictions import PredictionBatch
from fer_mlops.tracking.queries import get_run
from fer_mlops.tracking.registry import DIGEST_TAG

_SCORES = ("test/", "final_valid/")
_OVERLAY = 320  # side of a heat map, in pixels


@dataclass(frozen=True, kw_only=True)
class Card:
    """Registry metadata of a version; empty for a model outside the registry."""

    name: str
    """Name it was loaded by, such as ``models:/fer-classifier/3``."""
    version: str = ""
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    description: str = ""
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)
    run_id: str = ""
    created: int = 0
    """Time of registration, in milliseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """Model version in memory, ready to predict."""

    card: Card
    classifier: Classifier
    batcher: Batcher

    def answers(self, logits: Logits, operating_point: OperatingPoint) -> list[dict[str, Any]]:
        """Returns the prediction of each face at an operating point, from its logits [n, 7]."""
        calibration = self.classifier.calibration.at(operating_point)
        probabilities = calibration.probabilities(logits)
        batch = PredictionBatch(probabilities, calibration.is_sure(probabilities))
        return [dataclasses.asdict(prediction) for prediction in batch]

    def explanations(
        self, pixels: Images, logits: Logits, operating_point: OperatingPoint
    ) -> list[dict[str, str]]:
        """Returns, for each face, the method and the overlay with its heat map as a ``data:`` URI."""
        labels = self.classifier.calibration.at(operating_point).probabilities(logits).argmax(1)
        heats, method = explain(self.classifier, pixels, labels)
        return [
            {"method": method, "overlay": png_uri(plots.overlay(face, heat, _OVERLAY))}
            for face, heat in zip(np.asarray(pixels), heats, strict=True)
        ]

    def threshold(self, operating_point: OperatingPoint) -> float | None:
        """Returns the confidence from which a prediction is sure; None if none is high enough."""
        calibration = self.classifier.calibration.at(operating_point)
        return calibration.threshold if calibration.is_ever_sure else None

    def warm_up(self, max_batch: int) -> None:
        """Runs everything that is slow the first time: single faces, a batch, a heat map."""
        side = self.classifier.image_size
        for num in (1, 2, max_batch, 1):
            self.classifier.predict_proba(np.zeros((num, side, side), np.uint8))
        explain(self.classifier, np.zeros((1, side, side), np.uint8), np.zeros(1, np.int64))

    def described(self) -> dict[str, Any]:
        """Returns the description for ``GET /model``."""
        calibration = self.classifier.calibration
        card = dataclasses.asdict(self.card)
        return {
            **card,
            "data_digest": self.card.tags.get(DIGEST_TAG, ""),
            "family": self.classifier.family,
            "emotions": EMOTIONS,
            "preprocessing": {
                "image_size": self.classifier.image_size,
                "channels": "gray",
                "frame": "the whole picture, turned upright by its EXIF tag, resized to a square",
            },
            "points": {
                operating_point: {
                    "threshold": self.threshold(operating_point),
                    "temperature": calibration.at(operating_point).temperature,
                    "prior_strength": calibration.at(operating_point).prior_strength,
                }
                for operating_point in OPERATING_POINTS
            },
        }


def png_uri(picture: Image.Image) -> str:
    """Returns the picture as a PNG in a ``data:`` URI."""
    content = io.BytesIO()
    picture.save(content, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def card_of(version: ModelVersion) -> Card:
    """Returns the registry metadata of a version."""
    return Card(
        name=f"models:/{version.name}/{version.version}",
        version=str(version.version),
        aliases=tuple(sorted(version.aliases)),
        tags=dict(version.tags),
        description=version.description or "",
        scores=_known_scores(version.run_id or ""),
        run_id=version.run_id or "",
        created=int(version.creation_timestamp or 0),
    )


def _known_scores(run_id: str) -> dict[str, float]:
    try:
        return _scores(run_id) if run_id else {}
    except (ModelError, MlflowException):
        return {}


@lru_cache(maxsize=16)  # the scores of a finished run do not change
def _scores(run_id: str) -> dict[str, float]:
    """Returns the final scores of the training run that are numbers; JSON has no NaN."""
    metrics = get_run(run_id).data.metrics
    return {
        key: value for key, value in metrics.items() if key.startswith(_SCORES) and math.isfinite(value)
    }
