"""Training curves: loss, scores and learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fer_mlops.reporting.plots.style import COLOURS

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Metric name to its (step, value) points."""
Corner = Literal["upper right", "lower right", "lower center"]
_PANELS: tuple[tuple[str, tuple[str, ...], tuple[float, float] | None, Corner], ...] = (
    ("loss", ("train/loss", "valid/loss"), None, "upper right"),
    (
        "validation",
        ("valid/accuracy", "valid/macro_f1", "valid/balanced_accuracy"),
        (0, 1),
        "lower right",
    ),
    ("learning rate", ("train/learning_rate",), None, "lower center"),
)
"""Title, metrics, y limits, and legend corner, where lines are unlikely."""


def training_curves(curves: Curves, title: str) -> Figure:
    """Returns loss, scores and learning rate against the step."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    figure.suptitle(title)
    shown = [panel for panel in _PANELS if any(curves.get(name) for name in panel[1])]
    for axes, (label, names, limits, free) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True
    ):
        _lines(axes, {name: curves[name] for name in names if curves.get(name)}, free)
        axes.set(xlabel="step", title=label)
        if limits:
            axes.set_ylim(*limits)
    return figure


def _lines(axes: Axes, curves: Curves, free: Corner) -> None:
    for i, (name, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, marker=".", color=COLOURS[i], label=name)
    axes.legend(fontsize=8, loc=free)
    axes.grid(alpha=0.3)
