"""Comparison page: one HTML file with scores, differences, certainty and cost of several models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from fer_mlops.evaluation.comparison import Comparison, PairedResult
from fer_mlops.evaluation.paired import Difference
from fer_mlops.evaluation.report import SCORES
from fer_mlops.metrics.classification import FEW
from fer_mlops.reporting import plots
from fer_mlops.reporting.comparison_text import answers_of, megabytes, p_value, percent, verdict_of
from fer_mlops.reporting.html import (
    Cell,
    Html,
    details,
    document,
    gallery,
    heading,
    paragraph,
    people_tile,
    picture,
    section,
    table,
    text,
    tiles,
    uri_of,
)
from fer_mlops.reporting.html.thumbnails import picture_uri


def charts_of(comparison: Comparison) -> dict[str, Figure]:
    """Returns the charts by name: scores, differences, wins over the second model, and minutes.

    ``minutes`` is drawn only if the training time of at least two models is known.
    """
    scores = {
        entry.name: {score: (e.value, e.low, e.high) for score, e in entry.scores.items()}
        for entry in comparison.entries
    }
    title = f"{comparison.faces}, n = {comparison.num_faces}"
    best, second = comparison.best, comparison.matches[0]
    gaps = [
        (_row_name(comparison, match, score), getattr(match.pairing, score))
        for match in comparison.matches
        for score in ("macro_f1", "balanced_accuracy", "accuracy")
    ]
    drawn = {
        "comparison": plots.model_chart(scores, title),
        "differences": plots.difference_chart(gaps, f"{best.name}, the best, less another"),
        "wins": plots.wins_chart(second.pairing, best.name, comparison.entries[second.other].name),
    }
    points = {
        entry.name: (entry.minutes, *scores[entry.name]["macro_f1"])
        for entry in comparison.entries
        if np.isfinite(entry.minutes)
    }
    if len(points) > 1:
        drawn["minutes"] = plots.score_against_minutes(points, title)
    return drawn


def _row_name(comparison: Comparison, match: PairedResult, score: str) -> str:
    name = score.replace("_", " ").replace("f1", "F1")
    return (
        name if len(comparison.matches) == 1 else f"{name} less {comparison.entries[match.other].name}"
    )


def render_comparison(comparison: Comparison, root: Path) -> str:
    """Returns the comparison as a self-contained HTML page.

    Args:
        comparison: Comparison to show.
        root: Folder of the data set, for the images.
    """
    drawn = charts_of(comparison)
    corrected = (
        "" if len(comparison.matches) == 1 else ", corrected by Holm's method for all pairs of models"
    )
    return document(
        "fer-mlops compare",
        verdict_of(comparison),
        lead=Html(_tiles(comparison) + _answers(comparison)),
        body=[
            *_warnings(comparison),
            heading("Which model", f"{comparison.faces}, {comparison.point} operating point"),
            _scores(comparison),
            _chart(drawn["comparison"], "scores of each model with 95 % intervals"),
            heading("By how much", "the best less another, on the same faces"),
            _chart(drawn["differences"], "differences with 95 % intervals"),
            heading("How sure", f"p-values are two-sided{corrected}"),
            paragraph(_caution(comparison)),
            _certainty(comparison),
            heading("At what cost"),
            paragraph(
                "Speed was measured on this machine, on one thread, models in turn; medians. The "
                "parameters of a baseline are all numbers that it stores."
            ),
            _costs(comparison),
            *(
                [_chart(drawn["minutes"], "macro-F1 against minutes of training")]
                if "minutes" in drawn
                else []
            ),
            heading("Wins and losses", "faces of each emotion that only one model gets right"),
            *_wins(comparison, root, drawn["wins"]),
        ],
        foot=_facts(comparison),
        mood="warning" if comparison.warnings else "clean" if comparison.matches[0].is_clear else "note",
    )


def _warnings(comparison: Comparison) -> list[Html]:
    if not comparison.warnings:
        return []
    said = (
        section(f"{warning[0].upper()}{warning[1:]}.", mood="warning") for warning in comparison.warnings
    )
    return [heading("Warnings"), *said]


def _tiles(comparison: Comparison) -> Html:
    gap = comparison.matches[0].pairing.macro_f1
    return tiles(
        [
            (f"{comparison.num_faces:,}", "faces", ""),
            people_tile(comparison.num_people, comparison.num_unnamed),
            (str(len(comparison.entries)), "models", ""),
            (f"{gap.value:+.3f}", "macro-F1 over the second", ""),
            (percent(gap.probability), "of resamples", ""),
        ]
    )


def _answers(comparison: Comparison) -> Html:
    answers = answers_of(comparison).items()
    said = "<br>".join(f"<b>{question}:</b> {text(answer)}." for question, answer in answers)
    return paragraph(Html(said), "verdict")


def _scores(comparison: Comparison) -> Html:
    rows: list[Sequence[Cell]] = [
        [entry.name, *(Html(text(entry.scores[score])) for score in reversed(SCORES))]
        for entry in comparison.entries
    ]
    return table(["model", "macro-F1", "balanced accuracy", "accuracy"], rows)


def _certainty(comparison: Comparison) -> Html:
    rows: list[Sequence[Cell]] = []
    for match in comparison.matches:
        gap, only = match.pairing.macro_f1, match.pairing.mcnemar
        rows.append(
            [
                f"{comparison.best.name} over {comparison.entries[match.other].name}",
                Html(text(gap)),
                Html(percent(gap.probability)),
                Html(text(p_value(match.p_macro_f1))),
                Html(text(match.pairing.accuracy)),
                Html(f"{only.only_a} : {only.only_b}"),
                Html(text(p_value(match.p_accuracy))),
            ]
        )
    columns = ["", "macro-F1", "better in", "p", "accuracy", "right alone", "McNemar"]
    return table(columns, rows)


def _caution(comparison: Comparison) -> str:
    units = comparison.units
    return (
        f"Intervals and shares come from 2,000 resamples of {units.noun}, the same for all models. "
        "McNemar's exact test assumes independent faces, but faces of one person are not: where the two "
        f"disagree, trust the resamples. {units.caution}"
    ).strip()


def _costs(comparison: Comparison) -> Html:
    rows: list[Sequence[Cell]] = [
        [
            entry.name,
            Html(f"{entry.speed.milliseconds:.1f}"),
            Html(f"{entry.speed.faces_per_second:,.0f}"),
            Html(megabytes(entry.num_bytes)),
            entry.num_parameters,
            entry.image_size,
            Html(f"{entry.minutes:.1f}") if entry.minutes == entry.minutes else None,
        ]
        for entry in comparison.entries
    ]
    columns = ["model", "ms for one face", "faces a second", "on disk", "parameters", "pixels"]
    return table([*columns, "minutes of training"], rows)


def _wins(comparison: Comparison, root: Path, first_chart: Figure) -> list[Html]:
    best, parts = comparison.best.name, []
    for match in comparison.matches:
        other = comparison.entries[match.other].name
        classes = _class_table(match, best, other)
        faces = _faces(match, best, other, root)
        if match is comparison.matches[0]:
            parts += [_chart(first_chart, f"faces that {best} or {other} alone has right"), classes]
            if match.disagreements:
                parts += [heading("Faces on which they differ most", f"{best} and {other}"), *faces]
        else:
            parts.append(section(f"{best} against {other}", classes, details("faces", *faces)))
    if comparison.rare:
        few = ", ".join(f"{emotion} {num}" for emotion, num in comparison.rare.items())
        parts.append(paragraph(f"* fewer than {FEW} faces, too few for a claim: {few}."))
    return parts


def _class_table(match: PairedResult, best: str, other: str) -> Html:
    rows: list[Sequence[Cell]] = []
    for row in match.pairing.classes:
        if not row.support:
            continue
        mark = " *" if row.support < FEW else ""
        counts = (row.support, row.both, row.only_a, row.only_b, row.neither)
        rows.append([row.emotion + mark, *counts, Html(_gap(row.recall))])
    return table(
        [
            "emotion",
            "faces",
            "both right",
            f"only {best}",
            f"only {other}",
            "neither",
            "recall, difference",
        ],
        rows,
    )


def _gap(gap: Difference) -> str:
    shown = text(gap)
    return f"<b>{shown}</b>" if gap.is_clear else shown


def _faces(match: PairedResult, best: str, other: str, root: Path) -> list[Html]:
    """Returns the images on which only one of the two models is right, grouped by that model."""
    parts = []
    for name, wins in ((best, True), (other, False)):
        shown = []
        for dispute in match.disagreements:
            if (dispute.best == dispute.label) != wins:
                continue
            wrong = dispute.other if wins else dispute.best
            uri = picture_uri(root, dispute.image)
            if uri:
                shown.append((uri, dispute.image, f"{dispute.label}, not {wrong}"))
        if shown:
            parts.append(section(f"Only {name} is right", gallery(shown)))
    return parts


def _chart(figure: Figure, said: str) -> Html:
    return picture(uri_of(plots.to_image(figure), is_drawing=True), said)


def _facts(comparison: Comparison) -> list[str]:
    named = [f"{entry.name}: {entry.uri}" for entry in comparison.entries]
    return [*named, f"Faces {comparison.digest}: {comparison.faces}"]
