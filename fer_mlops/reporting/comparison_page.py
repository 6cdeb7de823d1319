"""Comparison page: one HTML file with scores, differences, certainty and cost of several models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from fer_mlops.evaluation.comparison import Comparison, PairedResult
from fer_mlops.evaluation.report import SCORES
from fer_mlops.metrics.bootstrap import NUM_RESAMPLES
from fer_mlops.metrics.classification import FEW
from fer_mlops.reporting import plots
from fer_mlops.reporting.comparison_text import answers_of, megabytes, p_value, percent, verdict_of
from fer_mlops.reporting.html import Cell, Mood, Picture, Tile, people_tile, photo, render, svg_of
from fer_mlops.reporting.html.rendering import show_cell

_CHARTS = {
    "comparison": "scores of each model with 95% intervals",
    "differences": "differences with 95% intervals",
    "wins": "faces of each emotion that only one of the two best models gets right",
    "minutes": "macro-F1 against minutes of training",
}
"""Text of each chart for screen readers."""


def charts_of(comparison: Comparison) -> dict[str, Figure]:
    """Returns the charts by name: scores, differences, wins over the second model, and minutes.

    ``minutes`` is drawn only if the training time of at least two models is known.
    """
    scores = {
        entry.name: {score: (e.value, e.low, e.high) for score, e in entry.scores.items()}
        for entry in comparison.entries
    }
    where = f"{comparison.faces}, {comparison.num_faces:,} faces"
    best, second = comparison.best, comparison.matches[0]
    gaps = [
        (_row_name(comparison, match, score), getattr(match.pairing, score))
        for match in comparison.matches
        for score in ("macro_f1", "balanced_accuracy", "accuracy")
    ]
    drawn = {
        "comparison": plots.model_chart(scores, f"Scores of each model, {where}"),
        "differences": plots.difference_chart(gaps, f"{best.name}, the best, minus another, {where}"),
        "wins": plots.wins_chart(second.pairing, best.name, comparison.entries[second.other].name),
    }
    points = {
        entry.name: (entry.minutes, *scores[entry.name]["macro_f1"])
        for entry in comparison.entries
        if np.isfinite(entry.minutes)
    }
    if len(points) > 1:
        drawn["minutes"] = plots.score_against_minutes(
            points, f"Macro-F1 against training time, {where}"
        )
    return drawn


def _row_name(comparison: Comparison, match: PairedResult, score: str) -> str:
    name = score.replace("_", " ").replace("f1", "F1")
    return (
        name if len(comparison.matches) == 1 else f"{name} minus {comparison.entries[match.other].name}"
    )


def render_comparison(comparison: Comparison, root: Path) -> str:
    """Returns the comparison as a self-contained HTML page."""
    drawn = charts_of(comparison)
    is_clear, is_single = comparison.matches[0].is_clear, len(comparison.matches) == 1
    mood: Mood = "warning" if comparison.warnings else "clean" if is_clear else "note"
    return render(
        "comparison.html",
        command="fer-mlops compare",
        title=verdict_of(comparison),
        mood=mood,
        numbers=_tiles(comparison),
        answers=answers_of(comparison),
        comparison=comparison,
        charts={name: svg_of(figure, _CHARTS[name]) for name, figure in drawn.items()},
        scores=[
            [entry.name, *(entry.scores[score] for score in reversed(SCORES))]
            for entry in comparison.entries
        ],
        corrected="" if is_single else ", corrected by Holm's method for all pairs of models",
        num_resamples=NUM_RESAMPLES,
        certainty=_certainty(comparison),
        costs=_costs(comparison),
        matches=[_match(comparison, match, root) for match in comparison.matches],
        few=FEW,
        facts=[
            *(f"{entry.name}: {entry.uri}" for entry in comparison.entries),
            f"Faces {comparison.digest}: {comparison.faces}",
        ],
    )


def _tiles(comparison: Comparison) -> list[Tile]:
    gap = comparison.matches[0].pairing.macro_f1
    return [
        (f"{comparison.num_faces:,}", "faces", ""),
        people_tile(comparison.num_people, comparison.num_unnamed),
        (str(len(comparison.entries)), "models", ""),
        (f"{gap.value:+.3f}", "macro-F1 over the second", ""),
        (percent(gap.probability), "of resamples", ""),
    ]


def _certainty(comparison: Comparison) -> list[Sequence[Cell]]:
    rows: list[Sequence[Cell]] = []
    for match in comparison.matches:
        gap, only = match.pairing.macro_f1, match.pairing.mcnemar
        rows.append(
            [
                f"{comparison.best.name} over {comparison.entries[match.other].name}",
                gap,
                percent(gap.probability),
                p_value(match.p_macro_f1),
                match.pairing.accuracy,
                f"{only.only_a} : {only.only_b}",
                p_value(match.p_accuracy),
            ]
        )
    return rows


def _costs(comparison: Comparison) -> list[Sequence[Cell]]:
    return [
        [
            entry.name,
            f"{entry.speed.milliseconds:.1f}",
            f"{entry.speed.faces_per_second:,.0f}",
            megabytes(entry.num_bytes),
            entry.num_parameters,
            entry.image_size,
            f"{entry.minutes:.1f}" if entry.minutes == entry.minutes else None,
        ]
        for entry in comparison.entries
    ]


def _match(comparison: Comparison, match: PairedResult, root: Path) -> dict[str, object]:
    """Returns the emotions and the faces on which the best model and another differ."""
    best, other = comparison.best.name, comparison.entries[match.other].name
    rows: list[Sequence[Cell]] = []
    for row in match.pairing.classes:
        if not row.support:
            continue
        mark = " *" if row.support < FEW else ""
        is_clear = row.recall.is_clear
        gap = Markup("<b>{}</b>").format(show_cell(row.recall)) if is_clear else row.recall
        counts = (row.support, row.both, row.only_a, row.only_b, row.neither)
        rows.append([row.emotion + mark, *counts, gap])
    only = f"only {best}", f"only {other}"
    return {
        "title": f"{best} against {other}",
        "names": f"{best} and {other}",
        "columns": ["emotion", "faces", "both right", *only, "neither", "recall, difference"],
        "rows": rows,
        "has_faces": bool(match.disagreements),
        "faces": [(best, _faces(match, root, True)), (other, _faces(match, root, False))],
    }


def _faces(match: PairedResult, root: Path, best_is_right: bool) -> list[Picture]:
    """Returns the faces on which only the best model, or only the other one, is right."""
    shown = (
        photo(root, face.image, f"{face.label}, not {face.other if best_is_right else face.best}")
        for face in match.disagreements
        if (face.best == face.label) == best_is_right
    )
    return [picture for picture in shown if picture]
