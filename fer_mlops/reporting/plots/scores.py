"""Figures of one model's scores: confusion matrix and bars by emotion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.report import Report
from fer_mlops.metrics.classification import FEW
from fer_mlops.reporting.plots.style import COLOURS


def confusion_matrix(counts: Sequence[Sequence[int]], title: str) -> Figure:
    """Returns the confusion matrix: counts in the cells, colour by share of the row."""
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    picture = axes.imshow(np.zeros((len(EMOTIONS), len(EMOTIONS))), cmap="cividis", vmin=0, vmax=1)
    for row, column in np.ndindex(len(EMOTIONS), len(EMOTIONS)):
        axes.text(column, row, "", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=35, ha="right")
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set(xlabel="predicted", ylabel="label")
    figure.colorbar(picture, ax=axes, label="share of the label's faces", shrink=0.8)
    _write_cells(axes, counts, title)
    return figure


def _write_cells(axes: Axes, counts: Sequence[Sequence[int]], title: str) -> None:
    """Writes counts and a title into a confusion matrix."""
    table = np.asarray(counts)
    totals = np.broadcast_to(table.sum(1, keepdims=True), table.shape)
    shares = table / np.maximum(totals, 1)
    axes.images[0].set_data(shares)
    for text, count, total, share in zip(axes.texts, table.flat, totals.flat, shares.flat, strict=True):
        text.set_text(f"{count}\n{share:.0%}" if total else "–")
        text.set_color("black" if share > 0.55 else "white")
    axes.set_title(title)


class ConfusionPictures:
    """Draws many confusion matrices, in a fifth of the time of separate figures.

    Only the cells and the title are drawn again; everything else is drawn once.
    """

    def __init__(self, dots_per_inch: int) -> None:
        figure = confusion_matrix(np.zeros((len(EMOTIONS), len(EMOTIONS)), int).tolist(), "title")
        figure.set_dpi(dots_per_inch)
        self.axes = figure.axes[0]
        cells, frame = self.axes.images[0], self.axes.spines.values()  # the frame overlaps the cells
        self.changing = (cells, *frame, *self.axes.texts, self.axes.title)
        for artist in self.changing:
            artist.set_animated(True)
        canvas: Any = FigureCanvasAgg(figure)
        canvas.draw()
        self.canvas, self.background = canvas, canvas.copy_from_bbox(figure.bbox)

    def draw(self, counts: Sequence[Sequence[int]], title: str) -> Image.Image:
        """Returns ``confusion_matrix`` as an RGB picture."""
        self.canvas.restore_region(self.background)
        _write_cells(self.axes, counts, title)
        for artist in self.changing:
            self.axes.draw_artist(artist)
        return Image.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3].copy())


def class_bars(report: Report, title: str) -> Figure:
    """Returns precision, recall and F1 of each emotion, with F1's 95 % interval and n."""
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(EMOTIONS))
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
            capsize=3,
            color=COLOURS[i],
            label=name,
        )
    marks = ["" if row.support >= FEW else " *" for row in report.classes]
    ticks = [f"{r.emotion}\nn = {r.support}{m}" for r, m in zip(report.classes, marks, strict=True)]
    axes.set_xticks(places, ticks, fontsize=8)
    axes.axhline(report.macro_f1.value, color="gray", ls="--", lw=1)
    axes.set(ylim=(0, 1), ylabel="score", title=f"{title}: macro-F1 {report.macro_f1}")
    axes.legend(ncols=3, fontsize=8, loc="upper right")
    if any(marks):
        figure.supxlabel(f"* fewer than {FEW} faces: too few for a claim", fontsize=8)
    return figure
