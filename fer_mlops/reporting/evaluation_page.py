"""Evaluation page: one HTML file with all scores of a model and their limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from fer_mlops.data.table import count_or_unknown
from fer_mlops.evaluation.attribution.summary import maps_are_trustworthy
from fer_mlops.evaluation.full_report import ModelEvaluation, confident_mistakes
from fer_mlops.evaluation.report import HEADLINES, Estimate, Report
from fer_mlops.evaluation.slices import Slice
from fer_mlops.metrics.bootstrap import LEAST_FOR_INTERVAL, LEAST_FOR_P
from fer_mlops.metrics.classification import FEW
from fer_mlops.reporting import plots
from fer_mlops.reporting.evaluation_plots import mistake_captions, pictures
from fer_mlops.reporting.html import (
    Cell,
    Html,
    Mood,
    document,
    gallery,
    heading,
    paragraph,
    people_tile,
    picture,
    table,
    text,
    tiles,
    uri_of,
)
from fer_mlops.reporting.html.thumbnails import picture_uri

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
_MOST_MISTAKES = 24


def render_page(
    model: str,
    judgements: Sequence[ModelEvaluation],
    facts: Sequence[str],
    sheets: Mapping[str, Figure],
    warnings: Sequence[str] = (),
) -> str:
    """Returns the page of one model on one or more sets of faces.

    Args:
        model: Name of the model.
        judgements: Evaluations, at least one.
        facts: Versions and digests, shown in the footer.
        sheets: Heat maps of some faces, by ``ModelEvaluation.faces``.
        warnings: Reasons why the scores may be too good; shown first.
    """
    first = judgements[0]
    said = "".join(paragraph(Html(f"<b>{text(one)}</b>"), "verdict") for one in warnings)
    body = [Html(heading("Data set by data set") + _across(judgements))] if len(judgements) > 1 else []
    for judged in judgements:
        if len(judgements) > 1:
            body.append(heading(f"On {judged.faces}"))
        body += _about(judged, sheets.get(judged.faces))
    return document(
        "fer-mlops evaluate",
        model,
        lead=Html(_tiles(first.report) + said + paragraph(_verdict(first), "verdict")),
        body=body,
        foot=facts,
        mood="warning" if warnings else "note",
    )


def _tiles(report: Report) -> Html:
    shown: list[tuple[str, str, Mood]] = [
        (f"{report.num_faces:,}", "faces", ""),
        people_tile(report.num_people, report.num_unnamed),
        (f"{report.macro_f1.value:.3f}", "macro-F1", ""),
        (f"{report.balanced_accuracy.value:.3f}", "balanced accuracy", ""),
        (f"{report.accuracy.value:.3f}", "accuracy", ""),
    ]
    return tiles(shown)


def _verdict(judged: ModelEvaluation) -> Html:
    """Returns the conclusions that the scores support, in a few sentences."""
    report = judged.report
    few = [one.emotion for one in report.classes if 0 < one.support < FEW]
    absent = [one.emotion for one in report.classes if not one.support]
    said = [
        f"<b>Conclusion.</b> On the {text(judged.faces)}, {report.people()}, it predicts the "
        f"labelled emotion for {report.accuracy.value:.1%} of the faces."
    ]
    if np.isfinite(report.accuracy.low):
        said.append(
            f"The 95 % interval is {report.accuracy.low:.1%} to {report.accuracy.high:.1%} "
            f"({report.units.over}): of 100 intervals drawn so, 95 hold the true score."
        )
    if report.units.caution:
        said.append(f"<b>{report.units.caution}</b>")
    commonest = max(report.classes, key=lambda one: one.support)
    share = commonest.support / report.num_faces
    said.append(f"Always predicting {commonest.emotion} would be right {share:.1%} of the time.")
    if few:
        said.append(f"Too few faces for a claim about {', '.join(few)} (fewer than {FEW}).")
    if absent:
        said.append(f"No face of {', '.join(absent)}: left out of every mean.")
    if "answered_error" in judged.confidence:
        said.append(
            f"It calls {judged.confidence['answered_share']:.0%} of its predictions sure; "
            f"{judged.confidence['answered_error']:.1%} of those are wrong."
        )
    worst = judged.slices.worst
    if worst and worst.is_significant and worst.gap.value < 0:
        said.append(
            f"Accuracy on faces with {text(worst.trait)} “{text(worst.value)}” is "
            f"{-worst.gap.value:.1%} lower at equal emotions."
        )
    return Html(" ".join(said))


def _across(judgements: Sequence[ModelEvaluation]) -> Html:
    columns = ["faces", "n", "people", "emotions", "accuracy", "balanced accuracy", "macro-F1", "ECE"]
    rows: list[list[Cell]] = []
    for judged in judgements:
        report = judged.report
        num = sum(one.support > 0 for one in report.classes)
        scores = (report.accuracy, report.balanced_accuracy, report.macro_f1, report.ece)
        people = count_or_unknown(report.num_people, report.num_unnamed)
        row: list[Cell] = [judged.faces, report.num_faces, people, num]
        rows.append([*row, *(_shown(score) for score in scores)])
    about = (
        "Means are over the emotions that a data set has faces of. Data sets were labelled by different "
        "people in different ways, so a drop between them is due to both the faces and the labels."
    )
    return Html(table(columns, rows) + paragraph(about))


def _about(judged: ModelEvaluation, sheet: Figure | None) -> list[Html]:
    shown = pictures(judged, judged.faces)
    parts = [
        heading("Scores", judged.report.units.told),
        _headlines(judged),
        heading("Emotion by emotion"),
        _classes(judged.report),
        _chart(shown["per_class"], "precision, recall and F1 of each emotion"),
        _chart(shown["confusion_matrix"], "confusion matrix"),
        heading("Calibration", "whether its confidence is right"),
        paragraph(_calibration(judged)),
        _chart(shown["reliability"], "reliability diagram"),
        heading("Precision against recall"),
        _chart(shown["precision_recall"], "precision-recall curves"),
        heading("Slices", "groups of faces with lower accuracy"),
        _slices(judged),
    ]
    if "slices" in shown:
        parts.append(_chart(shown["slices"], "gap of each slice at equal emotions"))
    if judged.robustness:
        parts += [
            heading(
                "Corrupted images", f"{judged.robustness.num_faces} faces, emotions as even as possible"
            ),
            paragraph(
                f"Balanced accuracy is {judged.robustness.clean:.3f} on the clean images and "
                f"{judged.robustness.mean:.3f} on average when they are blurred, noisy, dark, "
                "compressed, rotated or partly hidden."
            ),
            _chart(shown["robustness"], "balanced accuracy against strength"),
        ]
    if sheet:
        parts += [heading("Heat maps"), _chart(sheet, "heat maps of one face of each emotion")]
    if judged.attribution:
        is_good, said = maps_are_trustworthy(judged.attribution)
        verdict = "Measures support these maps" if is_good else "Measures do not support these maps"
        parts.append(paragraph(f"{verdict}: {said}."))
        parts.append(_chart(shown["attribution"], "deletion, insertion and shuffled weights"))
    return [*parts, heading("Most confident mistakes", "label → prediction"), mistakes_of(judged)]


def _shown(estimate: Estimate) -> Cell:
    if not np.isfinite(estimate.value):
        return None
    return Html(f"{estimate.value:.3f} <small>{estimate.interval}</small>")


def _headlines(judged: ModelEvaluation) -> Html:
    rows = [
        [NAMES[name], *(_shown(getattr(report, name)) for report in judged.reports.values())]
        for name in HEADLINES
    ]
    about = (
        "One model, three operating points: natural assumes emotions as frequent as in training and is "
        "right most often, balanced favours rare emotions, default lies between."
    )
    several = Html("") if len(judged.reports) == 1 else paragraph(about)
    return Html(table(["score", *judged.reports], rows) + several)


def _classes(report: Report) -> Html:
    rows: list[list[Cell]] = []
    for one in report.classes:
        name = one.emotion + (" *" if 0 < one.support < FEW else "")
        scores: list[Cell] = [one.precision if one.support else None, one.recall]
        rows.append([name, one.support, *scores, _shown(one.f1), one.auroc, one.average_precision])
    columns = ["emotion", "n", "precision", "recall", "F1", "AUROC", "average precision"]
    note = paragraph(f"* fewer than {FEW} faces: too few for a claim")
    return Html(table(columns, rows) + (note if any("*" in str(row[0]) for row in rows) else ""))


def _calibration(judged: ModelEvaluation) -> str:
    before, after = judged.confidence["ece_before_temperature"], judged.report.ece.value
    said = (
        f"Confidence misses accuracy by {after:.3f} on average; without the temperature fitted on "
        f"validation it would be {before:.3f}. "
    )
    threshold = judged.answers.calibration.threshold
    if threshold > 1:
        return said + "No confidence threshold was found above which predictions may be called sure."
    share = judged.confidence["answered_share"]
    said += f"Predictions are sure from a confidence of {threshold:.2f}: {share:.0%} of these faces"
    if "answered_error" in judged.confidence:
        said += f", of which {judged.confidence['answered_error']:.1%} are wrong"
    return said + "."


def _slices(judged: ModelEvaluation) -> Html:
    if not judged.slices.slices:
        return paragraph("The data have no traits that divide these faces.")
    columns = ["slice", "n", "people", "accuracy", "macro-F1", "gap", "p, corrected"]
    rows = [_slice_row(one) for one in judged.slices.slices]
    about = (
        "gap: accuracy minus the accuracy that all other faces would have with the slice's share of "
        "each emotion, so that harder emotions in a slice do not count against it; below 0 the slice "
        f"does worse. p is corrected for the {judged.slices.num_tested} slices that have one (Holm). "
        f"There is no gap where fewer than {FEW} faces show an emotion that others show too, no p below "
        f"{LEAST_FOR_P} people inside or outside, and no interval [–] below {LEAST_FOR_INTERVAL}. "
        "macro-F1 is over the slice's own emotions."
        f"{' ?: faces without a known person.' if judged.report.num_unnamed else ''}"
    )
    return Html(table(columns, rows) + paragraph(about))


def _slice_row(one: Slice) -> list[Cell]:
    return [
        f"{one.trait}: {one.value}",
        one.num_faces,
        count_or_unknown(one.num_people, one.num_unnamed),
        _shown(one.accuracy),
        _shown(one.macro_f1),
        _shown(one.gap),
        Html(f"– <small>{one.why_no_p}</small>") if one.why_no_p else one.adjusted_p,
    ]


def mistakes_of(judged: ModelEvaluation) -> Html:
    """Returns the most confident mistakes with their images."""
    rows = confident_mistakes(judged.answers, _MOST_MISTAKES)
    if not len(rows):
        return paragraph("None.")
    captions = mistake_captions(judged.answers, rows)
    names = [judged.answers.table.paths[row] for row in rows]
    shown = zip(
        (picture_uri(judged.answers.table.root, name) for name in names), names, captions, strict=True
    )
    about = "Inspect them: some are mistakes of the model, some are wrong labels."
    return Html(paragraph(about) + gallery(shown))


def _chart(figure: Figure, said: str) -> Html:
    return picture(uri_of(plots.to_image(figure), is_drawing=True), said)
