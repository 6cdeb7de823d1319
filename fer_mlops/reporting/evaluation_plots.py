"""Plots of one evaluation."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.explanation import HeatMaps, explain
from fer_mlops.evaluation.full_report import ModelEvaluation, confident_mistakes
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.report import Report
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.metrics.identities import count
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting import plots
from fer_mlops.reporting.html import Picture, uri_of

METHOD_NAMES = {"gradcam": "Grad-CAM", "occlusion": "occlusion"}
FIGURES = (
    "confusion_matrix",
    "per_class",
    "reliability",
    "precision_recall",
    "slices",
    "robustness",
    "attribution",
    "mistakes",
)
"""File names of all figures of an evaluation."""


def pictures(
    evaluation: ModelEvaluation, faces: str, names: Container[str] = FIGURES
) -> dict[str, Figure]:
    """Returns the figures of an evaluation by file name.

    ``faces`` describes the faces in the titles; empty where it is known.
    """
    predictions, shown = evaluation.predictions, _shown(faces, len(evaluation.predictions))
    labels, probabilities = predictions.labels, predictions.probabilities()
    # functions, as drawing takes most of the time and the page shows other figures than the run
    drawn: dict[str, Callable[[], Figure]] = {
        **_report_pictures(evaluation.report, faces),
        "reliability": lambda: plots.reliability_diagram(
            labels, probabilities, f"Reliability, {shown}", predictions.calibration.threshold
        ),
        "precision_recall": lambda: plots.precision_recall(
            labels, probabilities, f"Precision against recall, {shown}"
        ),
    }
    if rows := slice_rows(evaluation):
        drawn["slices"] = lambda: plots.slice_chart(rows, f"Accuracy gap of each slice, {shown}")
    if robustness := evaluation.robustness:
        title = f"Corrupted images, {_shown(faces, robustness.num_faces)}"
        drawn["robustness"] = lambda: plots.robustness_curves(robustness, title)
    if attribution := evaluation.attribution:
        name = METHOD_NAMES[attribution.method]
        about = f"Quality of the {name} maps, {_shown(faces, attribution.num_faces)}"
        drawn["attribution"] = lambda: plots.attribution_curves(attribution, about)
    wrong = confident_mistakes(predictions)
    if len(wrong):
        drawn["mistakes"] = lambda: plots.mistakes(
            evaluation.pixels[wrong],
            mistake_captions(predictions, wrong),
            f"Most confident mistakes, {shown}: label → prediction",
        )
    return {name: draw() for name, draw in drawn.items() if name in names}


def _shown(faces: str, num: int) -> str:
    return f"{faces}, {count(num, 'face')}" if faces else count(num, "face")


def slice_rows(evaluation: ModelEvaluation) -> list[tuple[str, float, float, float, bool]]:
    """Returns the slices with a gap, as rows for ``plots.slice_chart``."""
    return [
        (
            f"{part.trait}: {part.value} ({part.num_faces})",
            part.gap.value,
            part.gap.low,
            part.gap.high,
            part.is_significant,
        )
        for part in evaluation.slices.slices
        if np.isfinite(part.gap.value)
    ]


def mistake_captions(predictions: LabelledPredictions, rows: NDArray[np.int64]) -> list[str]:
    """Returns label, predicted emotion and confidence of each row."""
    probabilities = predictions.probabilities()[rows]
    return [_caption(*row) for row in zip(predictions.labels[rows], probabilities, strict=True)]


def _caption(label: np.int64, probabilities: NDArray[np.float64]) -> str:
    return f"{EMOTIONS[label]}\n→ {EMOTIONS[probabilities.argmax()]} {probabilities.max():.0%}"


def one_of_each(labels: Labels) -> NDArray[np.int64]:
    """Returns the row of the first face of each emotion in the labels."""
    _, rows = np.unique(labels, return_index=True)
    return np.asarray(rows, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class HeatMapSheet:
    """Faces with the heat maps of their predictions."""

    faces: NDArray[np.uint8]
    """[n, side, side]"""
    heats: HeatMaps
    captions: Sequence[str]
    """Label, predicted emotion and confidence of each face, [n]."""
    method: str

    def figure(self) -> Figure:
        """Returns the faces above their maps."""
        title = f"{METHOD_NAMES[self.method]} maps of one face of each emotion: label → prediction"
        return plots.explanation_sheet(self.faces, self.heats, self.captions, title)

    def pictures(self) -> list[Picture]:
        """Returns each face beside its map, for a page."""
        return [
            face_and_maps(face, [plots.overlay(face, heat)], (caption,))
            for face, heat, caption in zip(self.faces, self.heats, self.captions, strict=True)
        ]


def face_and_maps(
    face: NDArray[np.uint8], maps: Sequence[Image.Image], captions: Sequence[str], name: str = ""
) -> Picture:
    """Returns a picture of a gray face beside its heat maps."""
    side = maps[0].size
    original = Image.fromarray(face).resize(side, Image.Resampling.BICUBIC)
    about = name or captions[0].replace("\n", " ")
    shown = [(uri_of(original), about), *((uri_of(heat), f"heat map of {about}") for heat in maps)]
    return Picture(images=tuple(shown), captions=tuple(captions), name=name)


def explained_sheet(classifier: Classifier, pixels: Images, labels: Labels) -> HeatMapSheet:
    """Returns heat maps for the predictions on one face of each emotion."""
    rows = one_of_each(labels)
    faces = pixels[rows]
    probabilities = classifier.predict_proba(faces)
    heats, method = explain(classifier, faces, probabilities.argmax(1))
    captions = [_caption(*row) for row in zip(labels[rows], probabilities, strict=True)]
    return HeatMapSheet(faces=faces, heats=heats, captions=captions, method=method)


def report_pictures(report: Report, faces: str) -> dict[str, Figure]:
    """Returns the figures that need only a report, by file name."""
    return {name: draw() for name, draw in _report_pictures(report, faces).items()}


def _report_pictures(report: Report, faces: str) -> dict[str, Callable[[], Figure]]:
    shown = _shown(faces, report.num_faces)
    return {
        "confusion_matrix": lambda: plots.confusion_matrix(
            report.confusion, f"Confusion matrix, {shown}"
        ),
        "per_class": lambda: plots.class_bars(report, f"Scores of each emotion, {shown}"),
    }
