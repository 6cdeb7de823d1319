"""What changed from step to step, or from trial to trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_mlops.figures.style import COLOURS

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Metric name to its (step, value) points."""


def training_curves(curves: Curves, title: str) -> Figure:
    """Returns loss, scores and learning rate against the step."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    figure.suptitle(title)
    panels = (
        ("loss", ("train/loss", "valid/loss"), None),
        ("validation", ("valid/accuracy", "valid/macro_f1", "valid/balanced_accuracy"), (0, 1)),
        ("learning rate", ("train/learning_rate",), None),
    )
    shown = [panel for panel in panels if any(curves.get(name) for name in panel[1])]
    for axes, (label, names, limits) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True
    ):
        _lines(axes, {name: curves[name] for name in names if curves.get(name)})
        axes.set(xlabel="step", title=label)
        if limits:
            axes.set_ylim(*limits)
    return figure


def _lines(axes: Axes, curves: Curves) -> None:
    for i, (name, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, marker=".", color=COLOURS[i], label=name)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)


def study_history(points: Sequence[tuple[int, float, bool]], metric: str, title: str) -> Figure:
    """Returns every trial's value and the best so far.

    Args:
        points: Trial number, value, and whether it was complete (else it was pruned).
        metric: Name of the value.
        title: Of the figure.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for is_complete, mark, label in ((True, "o", "complete"), (False, "x", "pruned, last value")):
        chosen = [(number, value) for number, value, complete in points if complete == is_complete]
        if chosen:
            axes.scatter(
                *zip(*chosen, strict=True), marker=mark, color=COLOURS[not is_complete], label=label
            )
    complete_points = [(number, value) for number, value, complete in points if complete]
    if complete_points:
        numbers, values = zip(*complete_points, strict=True)
        axes.step(
            numbers,
            np.maximum.accumulate(values),
            where="post",
            color=COLOURS[2],
            label="best so far",
        )
        axes.legend(fontsize=8)
    axes.set(xlabel="trial", ylabel=metric, title=title)
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """Returns how much of the trials' variance each setting explains, largest on top."""
    figure = Figure(figsize=(7, 0.5 * len(shares) + 1.2), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=lambda name: shares[name])
    bars = axes.barh(names, [shares[name] for name in names], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set(xlabel="share of the variance explained (fANOVA)", xlim=(0, 1), title="importance")
    return figure
