"""Figures of an evaluation: calibration, ranking, robustness, slices and mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.robustness import STRENGTHS, Robustness
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.calibration import NUM_BINS, reliability
from fer_mlops.metrics.classification import Labels
from fer_mlops.reporting.plots.style import (
    COLOURS,
    MUTED,
    WIDTH,
    legend_below,
    new_figure,
    set_title,
    styled,
)

_MARKS = ("o", "s", "^", "D", "v", "P", "X")


@styled
def reliability_diagram(
    labels: Labels, probabilities: NDArray[np.float64], title: str, threshold: float = 0.0
) -> Figure:
    """Returns a reliability diagram: accuracy against confidence, and the number of faces per bin.

    Probabilities are [n, 7]; a threshold in (0, 1], from which a prediction is sure, is drawn.
    """
    bins = reliability(labels, probabilities)
    figure = Figure(figsize=(WIDTH, 4.6))
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], ls="--", color=MUTED, lw=1, label="as confident as right")
    known = [bin_ for bin_ in bins if bin_.num]
    confidence, accuracy = [bin_.confidence for bin_ in known], [bin_.accuracy for bin_ in known]
    upper.plot(confidence, accuracy, marker="o", color=COLOURS[0], label="faces of one bin")
    upper.vlines(confidence, confidence, accuracy, color=COLOURS[3], lw=2, label="gap")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(-0.02, 1.02))
    edges = np.arange(NUM_BINS) / NUM_BINS
    lower.bar(
        edges, [bin_.num for bin_ in bins], 1 / NUM_BINS, align="edge", color=COLOURS[5], ec="white"
    )
    lower.set(xlabel="confidence", ylabel="faces")
    if 0 < threshold <= 1:
        for axes in (upper, lower):
            axes.axvline(threshold, color=COLOURS[2], ls=":", label=f"sure from {threshold:.2f}")
    set_title(figure, title)
    legend_below(figure, upper, 4)
    return figure


@styled
def precision_recall(labels: Labels, probabilities: NDArray[np.float64], title: str) -> Figure:
    """Returns the precision-recall curve of each emotion against the rest, one panel per emotion.

    A dashed line marks the precision of a random order: the emotion's share.
    """
    shown = [emotion for emotion in range(len(EMOTIONS)) if (labels == emotion).any()]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(WIDTH, 1 + 1.8 * rows))
    set_title(figure, title)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    for axes, emotion in zip(grid.flat, shown, strict=False):
        recall, precision, share = _ranked(labels == emotion, probabilities[:, emotion])
        axes.step(recall, precision, where="pre", color=COLOURS[0], label="by confidence")
        axes.axhline(share, color=MUTED, ls="--", lw=1, label="random order")
        name = f"{EMOTIONS[emotion]} (n = {(labels == emotion).sum()})"
        axes.set_title(name, fontsize=8, fontweight="normal", pad=4)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.grid()
    for axes in figure.axes[-columns:]:  # the last panel of each column
        axes.set_xlabel("recall")
        axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("precision")
    legend_below(figure, grid[0][0], 2)
    return figure


def _ranked(
    is_member: NDArray[np.bool_], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Returns recall and precision at each distinct probability, and the share of members."""
    order = np.argsort(-probabilities, kind="stable")
    found = np.cumsum(is_member[order])
    # one point per distinct probability, as faces of equal probability have no order
    ends = np.flatnonzero(np.r_[np.diff(probabilities[order]) != 0, True])
    recall, precision = found[ends] / found[-1], found[ends] / (ends + 1)
    return np.r_[0, recall], np.r_[precision[0], precision], float(is_member.mean())


@styled
def robustness_curves(robustness: Robustness, title: str) -> Figure:
    """Returns balanced accuracy against the strength of each corruption."""
    figure, axes = new_figure(title, 4)
    for i, (name, curve) in enumerate(robustness.curves.items()):
        axes.plot(
            [0, *STRENGTHS], curve.balanced_accuracy, color=COLOURS[i], marker=_MARKS[i], label=name
        )
    axes.axhline(1 / len(EMOTIONS), color=MUTED, ls="--", lw=1, label="chance")
    axes.set(xlabel="strength (0: clean)", ylabel="balanced accuracy", ylim=(0, 1))
    legend_below(figure, axes, 4)
    axes.grid()
    return figure


@styled
def slice_chart(rows: Sequence[tuple[str, float, float, float, bool]], title: str) -> Figure:
    """Returns the gap of each slice to all other faces at equal emotions.

    Rows are (name with n, gap, low, high, whether it is significant), from top to bottom.
    """
    figure, axes = new_figure(title, 0.3 * len(rows) + 1.3)
    for place, (_, gap, low, high, is_significant) in enumerate(rows):
        colour = COLOURS[3] if is_significant else COLOURS[0]
        axes.plot([low, high], [place, place], color=colour, lw=2)
        axes.plot(gap, place, marker="D" if is_significant else "o", color=colour)
    axes.axvline(0, color=MUTED, lw=1)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy minus that of all other faces, at equal emotions")
    axes.grid(axis="x")
    return figure


@styled
def mistakes(pixels: Images, captions: Sequence[str], title: str) -> Figure:
    """Returns faces with captions, in rows of eight.

    Faces are uint8 [n, side, side].
    """
    columns = 8
    num_rows = max(1, -(-len(captions) // columns))
    figure = Figure(figsize=(1.5 * columns, 2.1 * num_rows + 0.4))
    set_title(figure, title)
    grid = figure.subplots(num_rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, face, caption in zip(grid.flat, pixels[:], captions, strict=False):
        axes.imshow(face, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8, fontweight="normal", loc="center")
    return figure


@styled
def score_against_minutes(points: Mapping[str, tuple[float, float, float, float]], title: str) -> Figure:
    """Returns macro-F1 against training time, one point per model.

    A point is (minutes, macro-F1, low, high), by model.
    """
    figure, axes = new_figure(title, 4)
    for i, (name, (minutes, value, low, high)) in enumerate(points.items()):
        colour, mark = COLOURS[i % len(COLOURS)], _MARKS[i % len(_MARKS)]
        spread = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(minutes, value, spread, color=colour, marker=mark, capsize=3, ls="", label=name)
    axes.set(xscale="log", xlabel="minutes of training", ylabel="macro-F1", ylim=(0, 1))
    for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        set_formatter(lambda minutes, _: f"{minutes:g}")  # 0.2, not a power of ten
    axes.grid(which="both")
    legend_below(figure, axes, 3)
    return figure
