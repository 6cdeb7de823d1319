"""Plots of one evaluation."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.explanation import explain
from fer_mlops.evaluation.full_report import ModelEvaluation, confident_mistakes
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.report import Report
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting import plots


def pictures(judged: ModelEvaluation, title: str) -> dict[str, Figure]:
    """Returns every figure of an evaluation by file name."""
    answers, title = judged.answers, f"{title}, n = {len(judged.answers)}"
    labels, probabilities = answers.labels, answers.probabilities()
    shown = report_pictures(judged.report, title)
    shown["reliability"] = plots.reliability_diagram(
        labels, probabilities, title, answers.calibration.threshold
    )
    shown["precision_recall"] = plots.precision_recall(labels, probabilities, title)
    if rows := slice_rows(judged):
        shown["slices"] = plots.slice_chart(rows, title)
    if judged.robustness:
        worse = f"{title.rpartition(', n')[0]}, n = {judged.robustness.num_faces}, made worse"
        shown["robustness"] = plots.robustness_curves(judged.robustness, worse)
    if judged.attribution:
        about = f"{judged.attribution.method}, {judged.attribution.num_faces} faces"
        shown["attribution"] = plots.attribution_curves(judged.attribution, about)
    wrong = confident_mistakes(answers)
    if len(wrong):
        captions = mistake_captions(answers, wrong)
        shown["mistakes"] = plots.mistakes(
            judged.pixels[wrong], captions, "most confident mistakes: label → prediction"
        )
    return shown


def slice_rows(judged: ModelEvaluation) -> list[tuple[str, float, float, float, bool]]:
    """Returns the slices with a gap, as rows for ``plots.slice_chart``."""
    return [
        (
            f"{one.trait}: {one.value} ({one.num_faces})",
            one.gap.value,
            one.gap.low,
            one.gap.high,
            one.is_significant,
        )
        for one in judged.slices.slices
        if np.isfinite(one.gap.value)
    ]


def mistake_captions(answers: LabelledPredictions, rows: NDArray[np.int64]) -> list[str]:
    """Returns label, predicted emotion and confidence of each row."""
    probabilities = answers.probabilities()[rows]
    return [
        f"{EMOTIONS[label]}\n→ {EMOTIONS[row.argmax()]} {row.max():.0%}"
        for label, row in zip(answers.labels[rows], probabilities, strict=True)
    ]


def one_of_each(labels: Labels) -> NDArray[np.int64]:
    """Returns the row of the first face of each emotion in the labels."""
    _, rows = np.unique(labels, return_index=True)
    return np.asarray(rows, dtype=np.int64)


def explained_sheet(classifier: Classifier, pixels: Images, labels: Labels) -> tuple[Figure, str]:
    """Returns heat maps for the predictions on one face of each emotion, and the method's name."""
    rows = one_of_each(labels)
    faces = pixels[rows]
    probabilities = classifier.predict_proba(faces)
    heats, method = explain(classifier, faces, probabilities.argmax(1))
    captions = [
        f"{EMOTIONS[label]}\n→ {EMOTIONS[row.argmax()]} {row.max():.0%}"
        for label, row in zip(labels[rows], probabilities, strict=True)
    ]
    return plots.explanation_sheet(faces, heats, captions, f"{method}: label → prediction"), method


def report_pictures(report: Report, title: str) -> dict[str, Figure]:
    """Returns the figures that need only a report, by file name."""
    return {
        "confusion_matrix": plots.confusion_matrix(report.confusion, title),
        "per_class": plots.class_bars(report, title),
    }
