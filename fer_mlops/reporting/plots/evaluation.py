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
from fer_mlops.reporting.plots.style import COLOURS

_CURVES = (*COLOURS[:6], "#000000")
"""Yellow is too faint for a thin line on white."""
_MARKS = ("o", "s", "^", "D", "v", "P", "X")


def reliability_diagram(
    labels: Labels, probabilities: NDArray[np.float64], title: str, threshold: float = 0.0
) -> Figure:
    """Returns a reliability diagram: accuracy against confidence, and the number of faces per bin.

    Args:
        labels: Label of each face, [n].
        probabilities: Predicted probabilities [n, 7].
        title: Title of the figure.
        threshold: Confidence from which a prediction is sure; drawn if in (0, 1].
    """
    bins = reliability(labels, probabilities)
    figure = Figure(figsize=(5.6, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    upper.plot([0, 1], [0, 1], ls="--", color="gray", lw=1, label="as confident as right")
    known = [one for one in bins if one.num]
    upper.vlines(
        [one.confidence for one in known],
        [one.confidence for one in known],
        [one.accuracy for one in known],
        color=COLOURS[3],
        lw=2,
        label="gap",
    )
    upper.plot(
        [one.confidence for one in known],
        [one.accuracy for one in known],
        marker="o",
        color=COLOURS[0],
        label="faces of one bin",
    )
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02), title=title)
    edges = np.arange(NUM_BINS) / NUM_BINS
    lower.bar(edges, [one.num for one in bins], 1 / NUM_BINS, align="edge", color=COLOURS[5], ec="white")
    lower.set(xlabel="confidence", ylabel="faces")
    if 0 < threshold <= 1:
        for axes in (upper, lower):
            axes.axvline(threshold, color=COLOURS[2], ls=":", label=f"sure from {threshold:.2f}")
    upper.legend(fontsize=8, loc="upper left")
    return figure


def precision_recall(labels: Labels, probabilities: NDArray[np.float64], title: str) -> Figure:
    """Returns the precision-recall curve of each emotion against the rest.

    A short line at the right edge marks the precision of a random order: the emotion's share.
    """
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.subplots()
    for emotion, name in enumerate(EMOTIONS):
        is_member = labels == emotion
        if not is_member.any():
            continue
        order = np.argsort(-probabilities[:, emotion], kind="stable")
        found = np.cumsum(is_member[order])
        # one point per distinct probability, as faces of equal probability have no order
        ends = np.flatnonzero(np.r_[np.diff(probabilities[order, emotion]) != 0, True])
        recall, precision = found[ends] / found[-1], found[ends] / (ends + 1)
        axes.step(
            np.r_[0, recall],
            np.r_[precision[0], precision],
            where="pre",
            color=_CURVES[emotion],
            marker=_MARKS[emotion],
            markevery=0.2,
            ms=4,
            label=f"{name} (n = {found[-1]})",
        )
        axes.plot([1.0, 1.03], [is_member.mean()] * 2, color=_CURVES[emotion], lw=3, clip_on=False)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=title)
    axes.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=4)
    return figure


def robustness_curves(robustness: Robustness, title: str) -> Figure:
    """Returns balanced accuracy against the strength of each corruption."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for i, (name, curve) in enumerate(robustness.curves.items()):
        axes.plot(
            [0, *STRENGTHS], curve.balanced_accuracy, color=COLOURS[i], marker=_MARKS[i], label=name
        )
    axes.axhline(1 / len(EMOTIONS), color="gray", ls="--", lw=1, label="chance")
    axes.set(xlabel="strength (0: clean)", ylabel="balanced accuracy", ylim=(0, 1), title=title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2, loc="lower left")
    return figure


def slice_chart(rows: Sequence[tuple[str, float, float, float, bool]], title: str) -> Figure:
    """Returns the gap of each slice to all other faces at equal emotions.

    Args:
        rows: (name with n, gap, low, high, whether it is significant), from top to bottom.
        title: Title of the figure.
    """
    figure = Figure(figsize=(7, 0.34 * len(rows) + 1.3), layout="constrained")
    axes = figure.subplots()
    for place, (_, gap, low, high, is_significant) in enumerate(rows):
        colour = COLOURS[3] if is_significant else COLOURS[0]
        axes.plot([low, high], [place, place], color=colour, lw=2)
        axes.plot(gap, place, marker="D" if is_significant else "o", color=colour)
    axes.axvline(0, color="gray", lw=1)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="accuracy less that of all other faces, at equal emotions", title=title)
    axes.grid(axis="x", alpha=0.3)
    return figure


def mistakes(pixels: Images, captions: Sequence[str], title: str) -> Figure:
    """Returns faces with captions, in rows of eight.

    Args:
        pixels: Faces, uint8 [n, side, side].
        captions: Caption of each face, [n].
        title: Title of the figure.
    """
    columns = 8
    num_rows = max(1, -(-len(captions) // columns))
    figure = Figure(figsize=(1.5 * columns, 2.1 * num_rows + 0.4), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(num_rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, face, caption in zip(grid.flat, pixels[:], captions, strict=False):
        axes.imshow(face, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8)
    return figure


def score_against_minutes(points: Mapping[str, tuple[float, float, float, float]], title: str) -> Figure:
    """Returns macro-F1 against training time, one point per model.

    Args:
        points: Model name to (minutes, macro-F1, low, high).
        title: Title of the figure.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for i, (name, (minutes, value, low, high)) in enumerate(points.items()):
        colour, mark = COLOURS[i % len(COLOURS)], _MARKS[i % len(_MARKS)]
        spread = [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(minutes, value, spread, color=colour, marker=mark, capsize=3, ls="", label=name)
    axes.set(xscale="log", xlabel="minutes of training", ylabel="macro-F1", ylim=(0, 1), title=title)
    for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        set_formatter(lambda minutes, _: f"{minutes:g}")  # 0.2, not a power of ten
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="upper left")
    return figure
