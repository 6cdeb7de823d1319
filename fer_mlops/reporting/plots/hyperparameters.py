"""Figures of a sweep's settings: parallel coordinates and slices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fer_mlops.reporting.plots.trials import TrialRecord, Value, complete_trials, values_of

_LONGEST = 22
"""Longest label, in characters."""
_FEW = 5
"""Largest number of distinct numeric values that are shown as choices."""
_MAP = colormaps["cividis"]


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
        trials: Trials of a study.
        keys: Settings, from left to right.
        logs: Settings with a log scale.
        metric: Name of the value.
        rises: Whether more is better; the best lines are drawn in front.
    """
    chosen = sorted(complete_trials(trials), key=lambda t: t.value or 0.0, reverse=not rises)
    figure = Figure(figsize=(max(7, 1.5 * len(keys) + 1), 5), layout="constrained")
    axes = figure.subplots()
    scales = [_Scale(trials, key, key in logs) for key in keys]
    values = values_of(chosen)
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
        trials: Trials of a study.
        keys: Settings, one panel each.
        logs: Settings with a log scale.
        metric: Name of the value.
    """
    num_columns = min(4, len(keys))
    num_rows = math.ceil(len(keys) / num_columns)
    figure = Figure(figsize=(3.1 * num_columns + 0.8, 2.7 * num_rows), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, squeeze=False, sharey=True)
    chosen = complete_trials(trials)
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


_PLATE = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}


class _Scale:
    """Scale of one setting: maps its values to [0, 1]."""

    def __init__(self, trials: Sequence[TrialRecord], key: str, is_log: bool) -> None:
        self.key, self.is_log = key, is_log
        found = [trial.settings[key] for trial in trials if key in trial.settings]
        self.names = _names(found)
        numbers = [] if self.names else [self._number(value) for value in found]
        self.low, self.high = min(numbers, default=0.0), max(numbers, default=1.0)

    def height(self, trial: TrialRecord) -> float:
        """Returns the height of the trial's value, or NaN if the trial does not have this setting."""
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
    axes.scatter(places, values_of(trials), c=colours, s=22, edgecolor="black", lw=0.3)
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
    """Returns labels if the values are names or a few repeated numbers; otherwise an empty list."""
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
