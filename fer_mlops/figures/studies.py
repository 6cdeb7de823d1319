"""What a sweep found: its trials one after the other, and what each setting did to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from fer_mlops.figures.style import COLOURS

State = Literal["complete", "pruned", "over budget", "failed", "running"]
Value = str | int | float | bool
_LOOK: dict[State, tuple[str, str]] = {
    "complete": (COLOURS[0], "o"),
    "pruned": (COLOURS[1], "x"),
    "over budget": (COLOURS[4], "+"),
    "failed": (COLOURS[3], "v"),
    "running": ("#999999", "."),
}
"""Colour and mark of each state; none is told by its colour alone."""
_LONGEST = 22
"""Letters of a label."""
_FEW = 5
"""Different numbers that are shown as choices."""
_MAP = colormaps["cividis"]


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of a study."""

    number: int
    state: State
    value: float | None
    """The objective; of a pruned trial where it stood."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """Of the space; those that its conditions did not ask for are missing."""
    course: Sequence[tuple[int, float]] = ()
    """(step, objective) as reported."""
    start: datetime | None = None
    end: datetime | None = None
    worker: str = ""


def study_history(
    trials: Sequence[TrialRecord], metric: str, title: str, *, rises: bool = True
) -> Figure:
    """Returns every trial's value and the best so far.

    Args:
        trials: In order of their numbers.
        metric: Name of the value.
        title: Of the figure.
        rises: Whether more is better.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for state, (colour, mark) in _LOOK.items():
        chosen = [(t.number, t.value) for t in trials if t.state == state and t.value is not None]
        if chosen:
            label = "pruned, last value" if state == "pruned" else state
            axes.scatter(*zip(*chosen, strict=True), marker=mark, color=colour, label=label)
    complete = _complete(trials)
    if complete:
        best = np.maximum if rises else np.minimum
        axes.step(
            [trial.number for trial in complete],
            best.accumulate(_values(complete)),
            where="post",
            color=COLOURS[2],
            label="best so far",
        )
        axes.legend(fontsize=8)
    axes.set(xlabel="trial", ylabel=metric, title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def trial_courses(trials: Sequence[TrialRecord], metric: str, title: str, best: int) -> Figure:
    """Returns every trial's objective against the step, the trial ``best`` in front.

    Args:
        trials: With courses.
        metric: Name of the value.
        title: Of the figure.
        best: Number of a trial.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for trial in trials:
        if not trial.course:
            continue
        steps, values = zip(*trial.course, strict=True)
        colour, mark = _LOOK[trial.state]
        is_best = trial.number == best
        axes.plot(
            steps,
            values,
            color=COLOURS[2] if is_best else colour,
            lw=2.5 if is_best else 0.8,
            alpha=1 if is_best else 0.5,
            zorder=3 if is_best else 2,
        )
        if trial.state != "complete":  # where it was ended
            axes.plot(steps[-1:], values[-1:], mark, color=colour, ms=5)
    handles: list[Line2D] = [
        Line2D(
            [],
            [],
            color=_LOOK[state][0],
            marker=None if state == "complete" else _LOOK[state][1],
            label=state,
        )
        for state in _LOOK
        if any(trial.state == state and trial.course for trial in trials)
    ]
    handles.append(Line2D([], [], color=COLOURS[2], lw=2.5, label=f"best: trial {best}"))
    axes.legend(handles=handles, fontsize=8)
    axes.set(xlabel="step", ylabel=metric, title=title)
    return figure


def importances(shares: Mapping[str, float]) -> Figure:
    """Returns how much of the trials' variance each setting explains, largest on top."""
    figure = Figure(figsize=(7, 0.4 * len(shares) + 1.2), layout="constrained")
    axes = figure.subplots()
    names = sorted(shares, key=lambda name: shares[name])
    bars = axes.barh(names, [shares[name] for name in names], color=COLOURS[0])
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set(
        xlabel="share of what settings explain (PED-ANOVA)",
        xlim=(0, 1.1 * max([*shares.values(), 0.1])),
        title="importance",
    )
    return figure


def parallel_coordinates(
    trials: Sequence[TrialRecord],
    keys: Sequence[str],
    logs: set[str],
    metric: str,
    *,
    rises: bool = True,
) -> Figure:
    """Returns one line per complete trial through its settings, coloured by its value.

    Args:
        trials: Of a study.
        keys: Settings, from left to right.
        logs: Those with a log scale.
        metric: Name of the value.
        rises: Whether more is better; the best lines lie in front.
    """
    chosen = sorted(_complete(trials), key=lambda t: t.value or 0.0, reverse=not rises)
    figure = Figure(figsize=(max(7, 1.5 * len(keys) + 1), 5), layout="constrained")
    axes = figure.subplots()
    scales = [_Scale(trials, key, key in logs) for key in keys]
    values = _values(chosen)
    shades = Normalize(*np.quantile(values, [0, 1]))
    for trial, value in zip(chosen, values, strict=True):
        heights = [scale.height(trial) for scale in scales]
        axes.plot(range(len(keys)), heights, color=_MAP(shades(value)), lw=1.6, marker=".", alpha=0.8)
    for place, scale in enumerate(scales):
        axes.axvline(place, color="black", lw=0.8, zorder=1)
        for height, label in scale.ticks():
            axes.text(place + 0.02, height, label, fontsize=7, va="center", bbox=_PLATE, zorder=4)
    axes.set_xticks(range(len(keys)), [_two_lines(key) for key in keys], fontsize=8)
    axes.set_yticks([])
    axes.set(
        xlim=(-0.1, len(keys) - 1 + 0.35), ylim=(-0.06, 1.06), title=f"{len(chosen)} complete trials"
    )
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(shades, _MAP), ax=axes, label=metric, pad=0.01)
    return figure


def slices(trials: Sequence[TrialRecord], keys: Sequence[str], logs: set[str], metric: str) -> Figure:
    """Returns the value of each complete trial against each setting; later trials are lighter.

    Args:
        trials: Of a study.
        keys: Settings, a panel each.
        logs: Those with a log scale.
        metric: Name of the value.
    """
    num_columns = min(4, len(keys))
    num_rows = math.ceil(len(keys) / num_columns)
    figure = Figure(figsize=(3.1 * num_columns + 0.8, 2.7 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    chosen = _complete(trials)
    shades = Normalize(0, max([trial.number for trial in trials] + [1]))
    for axes, key in zip(grid.flat, keys, strict=False):
        shown = [trial for trial in chosen if key in trial.settings]
        _slice(axes, shown, key, key in logs, shades)
    for axes in grid.flat[len(keys) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel(metric, fontsize=8)
    figure.colorbar(ScalarMappable(shades, _MAP), ax=grid, label="trial", pad=0.01)
    return figure


def timeline(trials: Sequence[TrialRecord], title: str) -> Figure:
    """Returns when each trial ran, on which worker, and how it ended.

    Args:
        trials: With a start each, or left out.
        title: Of the figure.
    """
    shown = [trial for trial in trials if trial.start is not None]
    workers = sorted({trial.worker for trial in shown})
    figure = Figure(figsize=(8, 0.5 * len(workers) + 1.8), layout="constrained")
    axes = figure.subplots()
    starts = [trial.start for trial in shown if trial.start]
    first = min(starts, default=datetime.now())
    last = max([trial.end for trial in shown if trial.end] + starts, default=first)
    for trial in shown:
        assert trial.start
        left = (trial.start - first).total_seconds() / 60
        width = ((trial.end or last) - trial.start).total_seconds() / 60
        row = workers.index(trial.worker)
        colour = _LOOK[trial.state][0]
        axes.barh(row, width, 0.8, left, color=colour, edgecolor="white", lw=0.6)
        if width > 0.025 * (last - first).total_seconds() / 60:
            ink = "white" if trial.state == "complete" else "black"
            axes.text(
                left + width / 2, row, str(trial.number), ha="center", va="center", fontsize=7, color=ink
            )
    states = [state for state in _LOOK if any(trial.state == state for trial in shown)]
    handles = [Patch(color=_LOOK[state][0], label=state) for state in states]
    figure.legend(handles=handles, fontsize=8, ncols=5, loc="outside lower center")
    axes.set_yticks(
        range(len(workers)), [worker.rpartition(":")[0] or worker for worker in workers], fontsize=8
    )
    axes.set(xlabel="minutes", title=title)
    axes.invert_yaxis()
    return figure


_PLATE = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}


class _Scale:
    """Where the values of one setting stand between 0 and 1."""

    def __init__(self, trials: Sequence[TrialRecord], key: str, is_log: bool) -> None:
        self.key, self.is_log = key, is_log
        found = [trial.settings[key] for trial in trials if key in trial.settings]
        self.names = _names(found)
        numbers = [] if self.names else [self._number(value) for value in found]
        self.low, self.high = min(numbers, default=0.0), max(numbers, default=1.0)

    def height(self, trial: TrialRecord) -> float:
        """Returns the trial's height, or NaN where it was not asked for this setting."""
        if self.key not in trial.settings:
            return math.nan
        value = trial.settings[self.key]
        if self.names:
            return self.names.index(_short(value)) / max(len(self.names) - 1, 1)
        return (self._number(value) - self.low) / ((self.high - self.low) or 1)

    def ticks(self) -> list[tuple[float, str]]:
        if self.names:
            return [(i / max(len(self.names) - 1, 1), name) for i, name in enumerate(self.names)]
        heights = (0.0, 0.5, 1.0)
        numbers = [self.low + height * (self.high - self.low) for height in heights]
        return [
            (height, f"{10**number if self.is_log else number:.3g}")
            for height, number in zip(heights, numbers, strict=True)
        ]

    def _number(self, value: Value) -> float:
        return math.log10(float(value)) if self.is_log else float(value)


def _slice(axes: Axes, trials: Sequence[TrialRecord], key: str, is_log: bool, shades: Normalize) -> None:
    found = [trial.settings[key] for trial in trials]
    names = _names(found)
    places = [names.index(_short(value)) for value in found] if names else [float(v) for v in found]
    colours = _MAP(shades([trial.number for trial in trials]))
    axes.scatter(places, _values(trials), c=colours, s=22, edgecolor="black", lw=0.3)
    if names:
        axes.set_xticks(range(len(names)), names, rotation=20 if len(names) > 2 else 0, fontsize=7)
        axes.margins(x=0.2)
    elif is_log and places:
        axes.set_xscale("log")
        ticks = np.geomspace(min(places), max(places), 3)
        axes.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(key, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)


def _names(found: Sequence[Value]) -> list[str]:
    """Returns the values as labels if they are names, or few numbers again and again; else nothing."""
    if any(isinstance(value, (str, bool)) for value in found):
        return sorted({_short(value) for value in found})
    different = sorted({float(value) for value in found})
    if len(different) > _FEW or 2 * len(different) > len(found):
        return []
    return [_short(number) for number in different]


def _short(value: Value) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    text = f"{value:g}" if is_number else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _two_lines(key: str) -> str:
    return key.replace(".", ".\n", 1)


def _complete(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.state == "complete" and trial.value is not None]


def _values(trials: Sequence[TrialRecord]) -> NDArray[np.float64]:
    return np.array([trial.value for trial in trials], dtype=np.float64)
