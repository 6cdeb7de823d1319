"""What was measured, to MLflow: numbers, JSON, pictures."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_mlops import figures
from fer_mlops.answers import Answers
from fer_mlops.classifier import Classifier
from fer_mlops.datasets.table import Labels
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation import Report
from fer_mlops.explanation import explain
from fer_mlops.pixels import Pixels
from fer_mlops.reporting.judged import Judged, confident_mistakes
from fer_mlops.tracker import Tracker


def log_report(report: Report, part: str, tracker: Tracker) -> None:
    """Logs a report's metrics, JSON, confusion matrix and per-class bars."""
    tracker.log_metrics(report.metrics(part))
    tracker.log_json(f"{part}/report.json", report.as_dict())
    for name, figure in report_pictures(report, f"{part}, n = {report.num_faces}").items():
        tracker.log_figure(f"{part}/{name}.png", figure)


def log_judged(judged: Judged, part: str, tracker: Tracker) -> None:
    """Logs all numbers of a judgement, its JSON and its pictures."""
    tracker.log_metrics(judged.metrics(part))
    tracker.log_json(f"{part}/report.json", judged.as_dict())
    for name, figure in pictures(judged, part).items():
        tracker.log_figure(f"{part}/{name}.png", figure)


def report_pictures(report: Report, title: str) -> dict[str, Figure]:
    """Returns the figures that a report alone gives, by file name."""
    return {
        "confusion_matrix": figures.confusion_matrix(report.confusion, title),
        "per_class": figures.class_bars(report, title),
    }


def pictures(judged: Judged, title: str) -> dict[str, Figure]:
    """Returns every figure of a judgement by file name."""
    answers, title = judged.answers, f"{title}, n = {len(judged.answers)}"
    labels, probabilities = answers.labels, answers.probabilities()
    shown = report_pictures(judged.report, title)
    shown["reliability"] = figures.reliability_diagram(
        labels, probabilities, title, answers.calibration.threshold
    )
    shown["precision_recall"] = figures.precision_recall(labels, probabilities, title)
    if rows := slice_rows(judged):
        shown["slices"] = figures.slice_chart(rows, title)
    if judged.robustness:
        worse = f"{title.rpartition(', n')[0]}, n = {judged.robustness.num_faces}, made worse"
        shown["robustness"] = figures.robustness_curves(judged.robustness, worse)
    if judged.attribution:
        about = f"{judged.attribution.method}, {judged.attribution.num_faces} faces"
        shown["attribution"] = figures.attribution_curves(judged.attribution, about)
    wrong = confident_mistakes(answers)
    if len(wrong):
        captions = mistake_captions(answers, wrong)
        shown["mistakes"] = figures.mistakes(
            judged.pixels[wrong], captions, "most confident mistakes: label → answer"
        )
    return shown


def slice_rows(judged: Judged) -> list[tuple[str, float, float, float, bool]]:
    """Returns the slices that compare, as ``figures.slice_chart`` takes them."""
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


def mistake_captions(answers: Answers, rows: NDArray[np.int64]) -> list[str]:
    """Returns ``label → answer, confidence`` of each row."""
    probabilities = answers.probabilities()[rows]
    return [
        f"{EMOTIONS[label]}\n→ {EMOTIONS[row.argmax()]} {row.max():.0%}"
        for label, row in zip(answers.labels[rows], probabilities, strict=True)
    ]


def one_of_each(labels: Labels) -> NDArray[np.int64]:
    """Returns the row of the first face of each emotion there is."""
    _, rows = np.unique(labels, return_index=True)
    return np.asarray(rows, dtype=np.int64)


def explained_sheet(classifier: Classifier, pixels: Pixels, labels: Labels) -> tuple[Figure, str]:
    """Returns heat maps of one face of each emotion, for the emotion predicted, and the method."""
    rows = one_of_each(labels)
    faces = pixels[rows]
    probabilities = classifier.predict_proba(faces)
    heats, method = explain(classifier, faces, probabilities.argmax(1))
    captions = [
        f"{EMOTIONS[label]}\n→ {EMOTIONS[row.argmax()]} {row.max():.0%}"
        for label, row in zip(labels[rows], probabilities, strict=True)
    ]
    return figures.explanation_sheet(faces, heats, captions, f"{method}: label → prediction"), method


def explain_faces(
    classifier: Classifier, pixels: Pixels, labels: Labels, tracker: Tracker, part: str
) -> Figure:
    """Logs heat maps of one face of each emotion, for the emotion predicted, and returns the sheet."""
    sheet, method = explained_sheet(classifier, pixels, labels)
    tracker.log_figure(f"{part}/{method}.png", sheet)
    return sheet
