"""Explained faces: a model's predictions for some faces, with heat maps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.image_files import FaceImages
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.report import MOST_FACES, AttributionReport, measure_explanations
from fer_mlops.evaluation.explanation import HeatMaps, Method, explain
from fer_mlops.metrics.bootstrap import choose_evenly
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier, NetworkScorer


@dataclass(frozen=True, kw_only=True)
class ExplainedFaces:
    """Predictions and maps of one model for n faces."""

    name: str
    """Name of the model as given by the user."""
    family: str
    pixels: NDArray[np.uint8]
    """Prepared faces [n, side, side]."""
    probabilities: NDArray[np.float64]
    """[n, 7]"""
    targets: Labels
    """Label of the emotion that each map explains, [n]."""
    heats: HeatMaps
    method: Method
    layer: str
    """Layer that Grad-CAM used; empty for occlusion."""
    report: AttributionReport | None
    """None if the maps were not measured."""

    def prediction(self, row: int) -> tuple[str, float]:
        """Returns the predicted emotion of a face and its confidence."""
        probabilities = self.probabilities[row]
        return EMOTIONS[int(probabilities.argmax())], float(probabilities.max())

    def described(self) -> str:
        """Returns the model's name, family and explanation method in a few words."""
        how = f"Grad-CAM of {self.layer}" if self.layer else "occlusion"
        return f"{self.name} ({self.family}, {how})"


def explain_faces(
    name: str,
    classifier: Classifier,
    images: FaceImages,
    *,
    target: str | None,
    layer: str | None,
    method: Method | None,
    with_measures: bool,
) -> ExplainedFaces:
    """Returns the model's predictions and heat maps for the images.

    Args:
        name: Name of the model.
        classifier: Classifier to explain; Grad-CAM needs a network.
        images: Faces to explain.
        target: Emotion to explain in every face; None for each face's predicted emotion.
        layer: See ``explain``.
        method: See ``explain``.
        with_measures: Whether to measure the quality of the maps, on some of the faces.
    """
    pixels = np.asarray(classifier.prepare(images.paths))
    probabilities = classifier.predict_proba(pixels)
    targets = probabilities.argmax(1)
    if target is not None:
        targets = np.full(len(pixels), EMOTIONS.index(target))
    heats, used = explain(classifier, pixels, targets, layer=layer, method=method)
    return ExplainedFaces(
        name=name,
        family=classifier.family,
        pixels=pixels,
        probabilities=probabilities,
        targets=targets,
        heats=heats,
        method=used,
        layer=(layer or _own_layer(classifier)) if used == "gradcam" else "",
        report=_measure(classifier, images, pixels, targets, layer, used) if with_measures else None,
    )


def _own_layer(classifier: Classifier) -> str:
    assert isinstance(classifier.scorer, NetworkScorer)
    network: Any = classifier.scorer.network
    return next(str(name) for name, m in network.named_modules() if m is network.explained_layer)


def _measure(
    classifier: Classifier,
    images: FaceImages,
    pixels: NDArray[np.uint8],
    targets: Labels,
    layer: str | None,
    method: Method,
) -> AttributionReport:
    # chosen here already, as the regions are found by drawing each face again
    rows = choose_evenly(targets, MOST_FACES[method], seed=0)
    regions = images.regions(rows, targets[rows]) if images.drawn_below else None
    return measure_explanations(
        classifier, pixels[rows], targets[rows], layer=layer, method=method, regions=regions
    )
