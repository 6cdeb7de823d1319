"""Figures of one model's scores: confusion matrix and bars by emotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.report import Report
from fer_mlops.metrics.classification import FEW
from fer_mlops.reporting.plots.style import COLOURS, INK, LINE, MUTED, legend_below, new_figure, styled

_BLUE = to_rgb(COLOURS[0])
# from transparent to blue: a light scale on white paper and a dark one on a dark page
_SHARES = LinearSegmentedColormap.from_list("shares", [(*_BLUE, 0.0), (*_BLUE, 1.0)])


@styled
def confusion_matrix(counts: Sequence[Sequence[int]], title: str) -> Figure:
    """Returns the confusion matrix: counts and shares in the cells, colour by share of the row."""
    figure, axes = new_figure(title, 5)
    num = len(EMOTIONS)
    edges = np.arange(num + 1) - 0.5
    axes.pcolormesh(edges, edges, np.zeros((num, num)), cmap=_SHARES, vmin=0, vmax=1, ec=LINE, lw=0.5)
    for row, column in np.ndindex(num, num):
        axes.text(column, row, "", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(num), EMOTIONS, rotation=35, ha="right")
    axes.set_yticks(range(num), EMOTIONS)
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel="predicted", ylabel="label")
    _write_cells(axes, counts)
    return figure


def _write_cells(axes: Axes, counts: Sequence[Sequence[int]]) -> None:
    """Writes counts into a confusion matrix; a cell without faces stays blank."""
    table = np.asarray(counts)
    totals = np.broadcast_to(table.sum(1, keepdims=True), table.shape)
    shares = table / np.maximum(totals, 1)
    axes.collections[0].set_array(shares)
    for text, count, total, share in zip(axes.texts, table.flat, totals.flat, shares.flat, strict=True):
        text.set_text(f"{count}\n{share:.0%}" if count else "" if total else "–")
        text.set_color("white" if share > 0.55 else INK)


class ConfusionPictures:
    """Draws many confusion matrices, in a fifth of the time of separate figures."""

    def __init__(self, dots_per_inch: int) -> None:
        nothing = np.zeros((len(EMOTIONS), len(EMOTIONS)), int).tolist()
        figure = confusion_matrix(nothing, "validation, epoch 0")
        figure.set_dpi(dots_per_inch)
        self.axes, (self.title,) = figure.axes[0], figure.texts
        self.changing = (self.axes.collections[0], *self.axes.texts, self.title)
        for artist in self.changing:
            artist.set_animated(True)  # left out of the background
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        self.canvas, self.background = canvas, canvas.copy_from_bbox(figure.bbox)

    def draw(self, counts: Sequence[Sequence[int]], title: str) -> Image.Image:
        """Returns ``confusion_matrix`` as an RGB picture."""
        self.canvas.restore_region(self.background)  # only cells and title are drawn again
        _write_cells(self.axes, counts)
        self.title.set_text(title)
        for artist in self.changing:
            self.axes.draw_artist(artist)
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


@styled
def class_bars(report: Report, title: str) -> Figure:
    """Returns precision, recall and F1 of each emotion, with F1's 95% interval and n."""
    figure, axes = new_figure(title, 4)
    places = np.arange(len(EMOTIONS))
    # an emotion without faces has no score, and its bar has no height
    f1 = np.nan_to_num([row.f1.value for row in report.classes])
    low = np.nan_to_num([row.f1.value - row.f1.low for row in report.classes]).clip(0)
    high = np.nan_to_num([row.f1.high - row.f1.value for row in report.classes]).clip(0)
    series = (
        ("precision", np.nan_to_num([row.precision for row in report.classes]), None),
        ("recall", np.nan_to_num([row.recall for row in report.classes]), None),
        ("F1", f1, np.stack([low, high])),
    )
    for i, (name, values, error) in enumerate(series):
        axes.bar(
            places + (i - 1) * 0.27,
            values,
            0.27,
            yerr=error,
            capsize=2,
            ecolor=INK,
            color=COLOURS[i],
            label=name,
        )
    marks = ["" if row.support >= FEW else " *" for row in report.classes]
    ticks = [f"{r.emotion}\nn = {r.support}{m}" for r, m in zip(report.classes, marks, strict=True)]
    axes.set_xticks(places, ticks, fontsize=7.5)
    axes.axhline(report.macro_f1.value, color=MUTED, ls="--", lw=1, label=f"macro-F1 {report.macro_f1}")
    axes.set(ylim=(0, 1), ylabel="score; F1 with 95% interval")
    axes.grid(axis="y")
    legend_below(figure, axes, 4)
    if any(marks):
        axes.set_xlabel(f"* fewer than {FEW} faces: too few for a claim", fontsize=8)
    return figure
