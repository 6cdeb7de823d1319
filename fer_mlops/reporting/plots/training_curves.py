"""Training curves: loss, scores and learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fer_mlops.reporting.plots.style import COLOURS, MUTED, set_title, styled

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Metric name to its (step, value) points."""
_PANELS: tuple[tuple[str, tuple[str, ...], tuple[float, float] | None], ...] = (
    ("loss", ("train/loss", "valid/loss"), None),
    ("validation scores", ("valid/accuracy", "valid/macro_f1", "valid/balanced_accuracy"), (0, 1)),
    ("learning rate", ("train/learning_rate",), None),
)
"""Title, metrics and y limits."""


@styled
def training_curves(curves: Curves, title: str) -> Figure:
    """Returns loss, scores and learning rate against the epoch, or against the number of faces.

    A dotted line marks the end of the epochs with a frozen backbone, if there were any.
    """
    faces = dict(curves.get("train/faces", ()))
    frozen = [step for step, phase in curves.get("train/phase", ()) if phase == 1]
    ends = bool(frozen) and len(frozen) < len(curves["train/phase"])
    figure = Figure(figsize=(11, 3.6))
    set_title(figure, title)
    shown = [panel for panel in _PANELS if any(curves.get(name) for name in panel[1])]
    for axes, (label, names, limits) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True
    ):
        _lines(axes, {name: curves[name] for name in names if curves.get(name)}, faces)
        if ends:
            axes.axvline(max(frozen) + 0.5, color=MUTED, ls=":", label="backbone frozen until here")
        axes.set(xlabel="training faces" if faces else "epoch", title=label)
        # below the panel, where it covers no curve
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        if limits:
            axes.set_ylim(*limits)
    return figure


def _lines(axes: Axes, curves: Curves, faces: Mapping[int, float]) -> None:
    for i, (name, points) in enumerate(curves.items()):
        steps, values = zip(*points, strict=True)
        places = [faces.get(step, step) for step in steps]
        axes.plot(places, values, marker=".", color=COLOURS[i], label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid()
