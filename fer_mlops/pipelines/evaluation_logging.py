"""Logging of evaluation results: metrics, JSON and pictures."""

from __future__ import annotations

from fer_mlops.evaluation.full_report import ModelEvaluation
from fer_mlops.evaluation.report import Report
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting.evaluation_plots import (
    HeatMapSheet,
    explained_sheet,
    pictures,
    report_pictures,
)
from fer_mlops.tracking.run_log import RunLog


def log_report(report: Report, part: str, log: RunLog) -> None:
    """Logs a report's metrics, JSON, confusion matrix and per-class bars."""
    figures = report_pictures(report, part)
    log.log_metrics(report.metrics(part))
    log.log_json(f"{part}/report.json", report.as_dict())
    for name, figure in figures.items():
        log.log_figure(f"{part}/{name}.png", figure)


def log_evaluation(evaluation: ModelEvaluation, part: str, log: RunLog) -> None:
    """Logs the metrics, JSON and pictures of a model evaluation."""
    figures = pictures(evaluation, part)
    log.log_metrics(evaluation.metrics(part))
    log.log_json(f"{part}/report.json", evaluation.as_dict())
    for name, figure in figures.items():
        log.log_figure(f"{part}/{name}.png", figure)


def log_explained_faces(
    classifier: Classifier, pixels: Images, labels: Labels, log: RunLog, part: str
) -> HeatMapSheet:
    """Logs heat maps of the predicted emotion for one face of each emotion; returns the sheet."""
    sheet = explained_sheet(classifier, pixels, labels)
    log.log_figure(f"{part}/{sheet.method}.png", sheet.figure())
    return sheet
