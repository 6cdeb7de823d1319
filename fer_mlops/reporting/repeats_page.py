"""Repeats page: one HTML file with mean, spread and interval over a recipe's seeds or folds."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from fer_mlops.evaluation.repeats import Repeats
from fer_mlops.evaluation.report import SCORES
from fer_mlops.models.calibration import POINTS
from fer_mlops.reporting import plots
from fer_mlops.reporting.html import (
    Cell,
    Html,
    document,
    heading,
    paragraph,
    picture,
    table,
    text,
    tiles,
    uri_of,
)

CAUTION = (
    "The interval is that of the mean, by Student's t, which assumes independent runs. The runs share "
    "most of their training faces, so it is somewhat too narrow (Nadeau and Bengio, 2003)."
)


def render_repeats(repeats: Repeats) -> str:
    """Returns the scores of one recipe's runs as a self-contained HTML page."""
    num, spread = len(repeats.runs), repeats.spread("macro_f1")
    verdict = (
        f"Macro-F1 {spread.mean:.3f}, standard deviation {spread.deviation:.3f} over {num} "
        f"{repeats.kind}, 95 % interval of the mean {spread.low:.3f} to {spread.high:.3f}."
    )
    chart = uri_of(plots.to_image(chart_of(repeats)), is_drawing=True)
    means: list[Sequence[Cell]] = [
        [point, *(Html(text(repeats.spread(score, point))) for score in SCORES)] for point in POINTS
    ]
    runs: list[Sequence[Cell]] = [
        [
            run.name,
            run.num_faces,
            *(run.scores["default"][score] for score in SCORES),
            Html(f"{run.minutes:.1f}"),
            run.run_id,
        ]
        for run in repeats.runs
    ]
    names = [score.replace("_", " ").replace("f1", "F1") for score in SCORES]
    return document(
        "fer-mlops compare",
        f"{repeats.family}, {num} {repeats.kind}",
        lead=Html(tiles([(str(num), repeats.kind, "")]) + paragraph(verdict, "verdict")),
        body=[
            heading("Mean, spread and interval", "of the runs' test scores, at each operating point"),
            table(["point", *names], means),
            picture(chart, "each run's scores, with mean and 95 % interval"),
            paragraph(CAUTION),
            heading("Run by run", "default operating point"),
            table([repeats.kind.removesuffix("s"), "test faces", *names, "minutes", "run"], runs),
        ],
        foot=[repeats.data],
        mood="note",
    )


def chart_of(repeats: Repeats) -> Figure:
    """Returns each run's scores, with mean and interval, at each operating point."""
    values: dict[str, dict[str, list[float]]] = {}
    means: dict[str, dict[str, tuple[float, float, float]]] = {}
    for score in SCORES:
        values[score], means[score] = {}, {}
        for point in POINTS:
            spread = repeats.spread(score, point)
            values[score][point] = [run.scores[point][score] for run in repeats.runs]
            means[score][point] = spread.mean, spread.low, spread.high
    title = f"{repeats.family}, {len(repeats.runs)} {repeats.kind}, {repeats.data}: test scores"
    return plots.spread_chart(values, means, title)
