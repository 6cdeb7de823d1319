"""Repeats page: one HTML file with mean, spread and interval over a recipe's seeds or folds."""

from __future__ import annotations

from matplotlib.figure import Figure

from fer_mlops.evaluation.repeats import Repeats
from fer_mlops.evaluation.report import SCORES
from fer_mlops.models.calibration import OPERATING_POINTS
from fer_mlops.reporting import plots
from fer_mlops.reporting.html import render, svg_of


def render_repeats(repeats: Repeats) -> str:
    """Returns the scores of one recipe's runs as a self-contained HTML page."""
    num, spread = len(repeats.runs), repeats.spread("macro_f1")
    return render(
        "repeats.html",
        command="fer-mlops compare",
        title=f"{repeats.family}, {num} {repeats.kind}",
        mood="note",
        numbers=[(str(num), repeats.kind, "")],
        verdict=f"Macro-F1 {spread.mean:.3f}, standard deviation {spread.deviation:.3f} over {num} "
        f"{repeats.kind}, 95% interval of the mean {spread.low:.3f} to {spread.high:.3f}.",
        kind=repeats.kind.removesuffix("s"),
        names=[score.replace("_", " ").replace("f1", "F1") for score in SCORES],
        means=[
            [name, *(str(repeats.spread(score, name)) for score in SCORES)] for name in OPERATING_POINTS
        ],
        scores=svg_of(chart_of(repeats), "each run's scores, with mean and 95% interval"),
        runs=[
            [
                run.name,
                run.num_faces,
                *(run.scores["default"][score] for score in SCORES),
                f"{run.minutes:.1f}",
                run.run_id,
            ]
            for run in repeats.runs
        ],
        facts=[repeats.data],
    )


def chart_of(repeats: Repeats) -> Figure:
    """Returns each run's scores, with mean and interval, at each operating point."""
    values: dict[str, dict[str, list[float]]] = {}
    means: dict[str, dict[str, tuple[float, float, float]]] = {}
    for score in SCORES:
        values[score], means[score] = {}, {}
        for operating_point in OPERATING_POINTS:
            spread = repeats.spread(score, operating_point)
            values[score][operating_point] = [run.scores[operating_point][score] for run in repeats.runs]
            means[score][operating_point] = spread.mean, spread.low, spread.high
    title = f"Test scores of {len(repeats.runs)} {repeats.kind}, {repeats.family}, {repeats.data}"
    return plots.spread_chart(values, means, title)
