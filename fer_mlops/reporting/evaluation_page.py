"""Evaluation page: one HTML file with all scores of a model and their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.table import count_or_unknown
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.report import maps_are_trustworthy
from fer_mlops.evaluation.full_report import ModelEvaluation, confident_mistakes
from fer_mlops.evaluation.report import HEADLINES, Report
from fer_mlops.evaluation.slices import Slice
from fer_mlops.metrics.bootstrap import LEAST_FOR_INTERVAL, LEAST_FOR_P
from fer_mlops.metrics.classification import FEW
from fer_mlops.reporting.evaluation_plots import HeatMapSheet, mistake_captions, pictures
from fer_mlops.reporting.html import (
    Cell,
    Page,
    Picture,
    Tile,
    people_tile,
    photo,
    render,
    svg_of,
    with_note,
)

NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC (mean of emotions)",
    "average_precision": "average precision (mean of emotions)",
    "nll": "NLL, nats (lower is better)",
    "brier": "Brier score, 0 to 2 (lower is better)",
    "ece": "calibration error, 15 bins (lower is better)",
}
"""Label of each headline score on the page."""
_CHARTS = {
    "per_class": "precision, recall and F1 of each emotion",
    "reliability": "reliability diagram",
    "precision_recall": "precision-recall curves",
    "slices": "gap of each slice at equal emotions",
    "robustness": "balanced accuracy against strength",
    "attribution": "deletion, insertion and shuffled weights",
}
"""Figures of the page by file name, with their text for screen readers."""
_MOST_MISTAKES, _MOST_IN_CELL = 24, 5


@dataclass(frozen=True, slots=True)
class Table:
    """Content of a table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """Cell of the confusion matrix."""

    num: int
    share: float
    """Share of the label's faces."""
    anchor: str
    """Id of the element that shows its faces; empty without faces."""


def render_page(
    model: str,
    evaluations: Sequence[ModelEvaluation],
    facts: Sequence[str],
    sheets: Mapping[str, HeatMapSheet],
    warnings: Sequence[str] = (),
) -> Page:
    """Returns the page of one model on one or more sets of faces.

    Warnings are shown first, ``facts`` in the footer; ``sheets`` has heat maps by
    ``ModelEvaluation.faces``.
    """
    first = evaluations[0]
    return render(
        "evaluation.html",
        command="fer-mlops evaluate",
        title=model,
        mood="warning" if warnings else "note",
        numbers=_tiles(first.report),
        warnings=warnings,
        conclusion=_conclusion(first),
        across=_across(evaluations) if len(evaluations) > 1 else None,
        parts=[
            _part(number, evaluation, sheets.get(evaluation.faces))
            for number, evaluation in enumerate(evaluations)
        ],
        emotions=EMOTIONS,
        few=FEW,
        least_for_p=LEAST_FOR_P,
        least_for_interval=LEAST_FOR_INTERVAL,
        facts=facts,
    )


def _part(number: int, evaluation: ModelEvaluation, sheet: HeatMapSheet | None) -> dict[str, object]:
    """Returns the content of the page about one set of faces."""
    drawn = pictures(evaluation, "", names=set(_CHARTS))
    by_cell = _mistakes_by_cell(number, evaluation)
    trusted, summary = (
        maps_are_trustworthy(evaluation.attribution) if evaluation.attribution else (False, "")
    )
    return {
        "evaluation": evaluation,
        "scores": _headlines(evaluation),
        "classes": _classes(evaluation.report),
        "has_few": any(0 < row.support < FEW for row in evaluation.report.classes),
        "confusion": _confusion(number, evaluation.report, {anchor for anchor, _, _ in by_cell}),
        "charts": {name: svg_of(figure, _CHARTS[name]) for name, figure in drawn.items()},
        "calibration": _calibration(evaluation),
        "slices": Table(_SLICE_COLUMNS, [_slice_row(part) for part in evaluation.slices.slices]),
        "heat_maps": sheet.pictures() if sheet else [],
        "maps": f"Measures {'support' if trusted else 'do not support'} these maps: {summary}",
        "mistakes": mistakes_of(evaluation),
        "by_cell": by_cell,
    }


def _tiles(report: Report) -> list[Tile]:
    return [
        (f"{report.num_faces:,}", "faces", ""),
        people_tile(report.num_people, report.num_unnamed),
        (f"{report.macro_f1.value:.3f}", "macro-F1", ""),
        (f"{report.balanced_accuracy.value:.3f}", "balanced accuracy", ""),
        (f"{report.accuracy.value:.3f}", "accuracy", ""),
    ]


def _conclusion(evaluation: ModelEvaluation) -> list[str]:
    """Returns the conclusions that the scores support, in a few sentences."""
    report = evaluation.report
    few = [row.emotion for row in report.classes if 0 < row.support < FEW]
    absent = [row.emotion for row in report.classes if not row.support]
    sentences = [
        f"On the {evaluation.faces}, {report.people()}, it predicts the "
        f"labelled emotion for {report.accuracy.value:.1%} of the faces."
    ]
    if np.isfinite(report.accuracy.low):
        sentences.append(
            f"The 95% interval is {report.accuracy.low:.1%} to {report.accuracy.high:.1%} "
            f"({report.units.over}): 95 of 100 such intervals contain the true score."
        )
    if report.units.caution:
        sentences.append(report.units.caution)
    commonest = report.commonest
    share = commonest.support / report.num_faces
    sentences.append(f"Always predicting {commonest.emotion} would be right {share:.1%} of the time.")
    if few:
        sentences.append(f"Too few faces for a claim about {', '.join(few)} (fewer than {FEW}).")
    if absent:
        sentences.append(f"No face of {', '.join(absent)}: left out of every mean.")
    if "answered_error" in evaluation.confidence:
        sentences.append(
            f"It calls {evaluation.confidence['answered_share']:.0%} of its predictions sure; "
            f"{evaluation.confidence['answered_error']:.1%} of those are wrong."
        )
    worst = evaluation.slices.worst
    if worst and worst.is_significant and worst.gap.value < 0:
        sentences.append(
            f"Accuracy on faces with {worst.trait} “{worst.value}” is "
            f"{-worst.gap.value:.1%} lower at equal emotions."
        )
    return sentences


def _across(evaluations: Sequence[ModelEvaluation]) -> Table:
    columns = ["faces", "n", "people", "emotions", "accuracy", "balanced accuracy", "macro-F1", "ECE"]
    rows: list[list[Cell]] = []
    for evaluation in evaluations:
        report = evaluation.report
        num = sum(row.support > 0 for row in report.classes)
        people = count_or_unknown(report.num_people, report.num_unnamed)
        scores = (report.accuracy, report.balanced_accuracy, report.macro_f1, report.ece)
        rows.append([evaluation.faces, report.num_faces, people, num, *scores])
    return Table(columns, rows)


def _headlines(evaluation: ModelEvaluation) -> Table:
    rows = [
        [NAMES[name], *(getattr(report, name) for report in evaluation.reports.values())]
        for name in HEADLINES
    ]
    return Table(["score", *evaluation.reports], rows)


def _classes(report: Report) -> Table:
    rows: list[list[Cell]] = []
    for row in report.classes:
        name = row.emotion + (" *" if 0 < row.support < FEW else "")
        precision = row.precision if row.support else None
        rows.append([name, row.support, precision, row.recall, row.f1, row.auroc, row.average_precision])
    return Table(["emotion", "n", "precision", "recall", "F1", "AUROC", "average precision"], rows)


def _confusion(number: int, report: Report, anchors: set[str]) -> list[tuple[str, list[ConfusionCell]]]:
    """Returns the confusion matrix by label; a cell whose faces are on the page has their anchor."""
    rows = []
    for label, counts in zip(EMOTIONS, report.confusion, strict=True):
        cells = []
        for predicted, num in zip(EMOTIONS, counts, strict=True):
            anchor = _anchor(number, label, predicted)
            share = num / max(sum(counts), 1)
            cells.append(ConfusionCell(num, share, anchor if anchor in anchors else ""))
        rows.append((label, cells))
    return rows


def _anchor(number: int, label: str, predicted: str) -> str:
    return f"mistakes-{number}-{label}-{predicted}"


def _mistakes_by_cell(number: int, evaluation: ModelEvaluation) -> list[tuple[str, str, list[Picture]]]:
    """Returns (anchor, title, most confident mistakes) of each cell, the fullest cell first."""
    probabilities, labels = evaluation.predictions.probabilities(), evaluation.predictions.labels
    predictions, confidence = probabilities.argmax(1), probabilities.max(1)
    counts = np.array(evaluation.report.confusion)
    np.fill_diagonal(counts, 0)
    found = []
    for cell in np.argsort(-counts, axis=None, kind="stable"):
        label, predicted = divmod(int(cell), len(EMOTIONS))
        rows = np.flatnonzero((labels == label) & (predictions == predicted) & (label != predicted))
        rows = rows[np.argsort(-confidence[rows], kind="stable")][:_MOST_IN_CELL]
        shown = _photos(evaluation, rows, [f"{confidence[row]:.0%}" for row in rows])
        if shown:
            names = EMOTIONS[label], EMOTIONS[predicted]
            title = f"{names[0]} → {names[1]}: {counts[label, predicted]} faces"
            found.append((_anchor(number, *names), title.replace(": 1 faces", ": 1 face"), shown))
    return found


def _calibration(evaluation: ModelEvaluation) -> str:
    before, after = evaluation.confidence["ece_before_temperature"], evaluation.report.ece.value
    text = (
        f"Confidence misses accuracy by {after:.3f} on average; without the temperature fitted on "
        f"validation it would be {before:.3f}. "
    )
    threshold = evaluation.predictions.calibration.threshold
    if not evaluation.predictions.calibration.is_ever_sure:
        return text + "No confidence threshold was found above which predictions may be called sure."
    share = evaluation.confidence["answered_share"]
    text += f"Predictions are sure from a confidence of {threshold:.2f}: {share:.0%} of these faces"
    if "answered_error" in evaluation.confidence:
        text += f", of which {evaluation.confidence['answered_error']:.1%} are wrong"
    return text + "."


_SLICE_COLUMNS = ("slice", "n", "people", "accuracy", "macro-F1", "gap", "p, corrected")


def _slice_row(part: Slice) -> list[Cell]:
    return [
        f"{part.trait}: {part.value}",
        part.num_faces,
        count_or_unknown(part.num_people, part.num_unnamed),
        part.accuracy,
        part.macro_f1,
        part.gap,
        with_note("–", part.why_no_p) if part.why_no_p else part.adjusted_p,
    ]


def mistakes_of(evaluation: ModelEvaluation) -> list[Picture]:
    """Returns the most confident mistakes with their images."""
    rows = confident_mistakes(evaluation.predictions, _MOST_MISTAKES)
    return _photos(evaluation, rows, mistake_captions(evaluation.predictions, rows))


def _photos(
    evaluation: ModelEvaluation, rows: NDArray[np.int64], captions: Sequence[str]
) -> list[Picture]:
    """Returns the pictures of the faces that can be read."""
    table, captioned = evaluation.predictions.table, zip(rows, captions, strict=True)
    found = (photo(table.root, table.paths[row], caption) for row, caption in captioned)
    return [picture for picture in found if picture]
