"""What changed from step to step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
