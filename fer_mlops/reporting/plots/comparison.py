"""Figures of model comparisons, and of one recipe over several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_mlops.evaluation.paired import Difference, Pairing
from fer_mlops.reporting.plots.style import (
    COLOURS,
    INK,
    MUTED,
    WIDTH,
    legend_below,
    new_figure,
    set_title,
    styled,
)


@styled
def model_chart(scores: Mapping[str, Mapping[str, tuple[float, float, float]]], title: str) -> Figure:
    """Returns a bar chart of the scores of several models.

    A score is (value, low, high), by model and metric.
    """
    figure, axes = new_figure(title, 4)
    metrics = list(next(iter(scores.values())))
    width = 0.8 / len(scores)
    for i, (model, values) in enumerate(scores.items()):
        heights = np.array([values[metric][0] for metric in metrics])
        low = np.array([values[metric][1] for metric in metrics])
        high = np.array([values[metric][2] for metric in metrics])
        places = np.arange(len(metrics)) + (i - (len(scores) - 1) / 2) * width
        # a bootstrap interval may lie beside its score, and matplotlib refuses negative errors
        error = np.stack([heights - low, high - heights]).clip(0)
        colour = COLOURS[i % len(COLOURS)]
        bars = axes.bar(
            places, heights, width * 0.95, yerr=error, capsize=2, ecolor=INK, color=colour, label=model
        )
        labels = [f"{height:.2f}" for height in heights]
        axes.bar_label(bars, labels, padding=1, fontsize=7)  # above the interval
    axes.set_xticks(range(len(metrics)), [metric.replace("_", " ") for metric in metrics])
    axes.set(ylim=(0, 1.06), ylabel="score with 95% interval")
    axes.grid(axis="y")
    legend_below(figure, axes, 3)
    return figure


@styled
def difference_chart(rows: Sequence[tuple[str, Difference]], title: str) -> Figure:
    """Returns the differences between the best model and others, with 95% intervals and a zero line.

    Rows are (label, difference) from top to bottom.
    """
    figure, axes = new_figure(title, 1.5 + 0.36 * len(rows), 1.4 * WIDTH)
    places = np.arange(len(rows))[::-1]
    for place, (_, gap) in zip(places, rows, strict=True):
        colour = COLOURS[0] if gap.low > 0 else COLOURS[3] if gap.high < 0 else MUTED
        axes.plot([gap.low, gap.high], [place, place], color=colour, lw=2)
        axes.plot(gap.value, place, "o", color=colour)
        axes.annotate(
            str(gap), (1.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=7.5
        )
    axes.axvline(0, color=INK, lw=1)
    reach = 1.1 * np.nanmax([0.01, *(abs(x) for _, gap in rows for x in (gap.value, gap.low, gap.high))])
    axes.set(xlim=(-reach, reach), ylim=(-0.6, len(rows) - 0.4))
    caption = "← other is better      difference with 95% interval      best is better →"
    figure.supxlabel(caption, fontsize=9)  # a label of the axes is wider than they are
    axes.set_yticks(places, [name for name, _ in rows], fontsize=8)
    axes.grid(axis="x")
    return figure


@styled
def wins_chart(pairing: Pairing, best: str, other: str) -> Figure:
    """Returns the number of faces of each emotion that only one of the two models gets right."""
    figure, axes = new_figure(f"Faces that only one model gets right, {best} against {other}", 3.8)
    shown = [row for row in pairing.classes if row.support]
    places = np.arange(len(shown))[::-1]
    sides = (
        (best, [row.only_a for row in shown], 1, COLOURS[0]),
        (other, [row.only_b for row in shown], -1, COLOURS[1]),
    )
    for name, counts, sign, colour in sides:
        bars = axes.barh(places, [sign * num for num in counts], color=colour, label=f"only {name}")
        axes.bar_label(bars, [str(num) for num in counts], padding=3, fontsize=8)
    most = max([1, *sides[0][1], *sides[1][1]])
    axes.set_xlim(-1.15 * most, 1.15 * most)
    axes.axvline(0, color=INK, lw=1)
    axes.set_yticks(places, [f"{row.emotion}, n = {row.support}" for row in shown])
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    legend_below(figure, axes, 2)
    return figure


@styled
def spread_chart(
    runs: Mapping[str, Mapping[str, Sequence[float]]],
    means: Mapping[str, Mapping[str, tuple[float, float, float]]],
    title: str,
) -> Figure:
    """Returns each run's scores as dots, beside their mean and its 95% interval.

    ``runs`` has the values of the runs, ``means`` (mean, low, high), by score and operating point.
    """
    figure = Figure(figsize=(9, 3.6))
    set_title(figure, title)
    for axes, (score, by_point) in zip(
        figure.subplots(1, len(runs), squeeze=False)[0], runs.items(), strict=True
    ):
        for place, (name, values) in enumerate(by_point.items()):
            _dots(axes, place, values, means[score][name])
        axes.set_xticks(range(len(by_point)), list(by_point))
        axes.set(title=score.replace("_", " "), xlim=(-0.4, len(by_point) - 0.2))
        axes.grid(axis="y")
    return figure


def _dots(axes: Axes, place: int, values: Sequence[float], mean: tuple[float, float, float]) -> None:
    middle, low, high = mean
    axes.scatter([place - 0.12] * len(values), values, s=16, color=COLOURS[place], alpha=0.7)
    error = [[middle - low], [high - middle]]
    axes.errorbar(place + 0.12, middle, yerr=error, fmt="D", color=COLOURS[place], capsize=4)
    axes.annotate(f"{middle:.3f}", (place + 0.2, middle), va="center", fontsize=8)
