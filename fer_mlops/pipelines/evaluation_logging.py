"""Logging of evaluation results to MLflow: metrics, JSON and pictures."""

from __future__ import annotations

from matplotlib.figure import Figure

from fer_mlops.evaluation.full_report import ModelEvaluation
from fer_mlops.evaluation.report import Report
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting.evaluation_plots import explained_sheet, pictures, report_pictures
from fer_mlops.tracking.tracker import Tracker


def log_report(report: Report, part: str, tracker: Tracker) -> None:
    """Logs a report's metrics, JSON, confusion matrix and per-class bars."""
    tracker.log_metrics(report.metrics(part))
    tracker.log_json(f"{part}/report.json", report.as_dict())
    for name, figure in report_pictures(report, f"{part}, n = {report.num_faces}").items():
        tracker.log_figure(f"{part}/{name}.png", figure)


def log_judged(judged: ModelEvaluation, part: str, tracker: Tracker) -> None:
    """Logs the metrics, JSON and pictures of a model evaluation."""
    tracker.log_metrics(judged.metrics(part))
    tracker.log_json(f"{part}/report.json", judged.as_dict())
    for name, figure in pictures(judged, part).items():
        tracker.log_figure(f"{part}/{name}.png", figure)


def log_explained_faces(
    classifier: Classifier, pixels: Images, labels: Labels, tracker: Tracker, part: str
) -> Figure:
    """Logs heat maps of the predicted emotion for one face of each emotion; returns the sheet."""
    sheet, method = explained_sheet(classifier, pixels, labels)
    tracker.log_figure(f"{part}/{method}.png", sheet)
    return sheet
