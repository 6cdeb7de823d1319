"""Logging of evaluation results: metrics, JSON and pictures."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from fer_mlops.evaluation.full_report import ModelEvaluation
from fer_mlops.evaluation.report import Report
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier
from fer_mlops.reporting.evaluation_plots import HeatMapSheet, explained_sheet, pictures, report_pictures
from fer_mlops.tracking.run_log import RunLog


def log_report(report: Report, part: str, log: RunLog) -> None:
    """Logs a report: its main scores as metrics, all numbers as JSON, and figures."""
    log.log_metrics(report.metrics(part))
    _log_files(part, report.as_dict(), report_pictures(report, part), log)


def log_valid_report(report: Report, confidence: Mapping[str, float], log: RunLog) -> None:
    """Logs the trained model's report on the validation faces; only its macro-F1 as a metric."""
    part = "final_valid"
    log.log_metrics({f"{part}/macro_f1": report.macro_f1.value})
    numbers = {**report.as_dict(), "confidence": dict(confidence)}
    _log_files(part, numbers, report_pictures(report, part), log)


def log_evaluation(evaluation: ModelEvaluation, part: str, log: RunLog) -> None:
    """Logs a model evaluation: its main scores as metrics, all numbers as JSON, and figures."""
    figures = pictures(evaluation, part)
    log.log_metrics(evaluation.metrics(part))
    _log_files(part, evaluation.as_dict(), figures, log)


def _log_files(part: str, numbers: object, figures: Mapping[str, Figure], log: RunLog) -> None:
    log.log_json(f"{part}/report.json", numbers)
    for name, figure in figures.items():
        log.log_figure(f"{part}/{name}.png", figure)


def log_explained_faces(
    classifier: Classifier, pixels: Images, labels: Labels, log: RunLog, part: str
) -> HeatMapSheet:
    """Logs heat maps of the predicted emotion for one face of each emotion; returns the sheet."""
    sheet = explained_sheet(classifier, pixels, labels)
    log.log_figure(f"{part}/{sheet.method}.png", sheet.figure())
    return sheet
