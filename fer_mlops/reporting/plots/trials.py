"""Figures of a sweep's trials: history, learning curves, importance and timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fer_mlops.reporting.plots.style import COLOURS

State = Literal["complete", "pruned", "over budget", "failed", "running"]
Value = str | int | float | bool
_LOOK: dict[State, tuple[str, str]] = {
    "complete": (COLOURS[0], "o"),
    "pruned": (COLOURS[1], "x"),
    "over budget": (COLOURS[4], "+"),
    "failed": (COLOURS[3], "v"),
    "running": ("#999999", "."),
}
"""Colour and marker of each state; no two states differ by colour alone."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of a study."""

    number: int
    state: State
    value: float | None
    """Objective; for a pruned trial the last reported value."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """Settings from the search space; those that its conditions excluded are missing."""
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
        trials: Trials in order of their numbers.
        metric: Name of the value.
        title: Title of the figure.
        rises: Whether more is better.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for state, (colour, mark) in _LOOK.items():
        chosen = [(t.number, t.value) for t in trials if t.state == state and t.value is not None]
        if chosen:
            label = "pruned, last value" if state == "pruned" else state
            axes.scatter(*zip(*chosen, strict=True), marker=mark, color=colour, label=label)
    complete = complete_trials(trials)
    if complete:
        best = np.maximum if rises else np.minimum
        axes.step(
            [trial.number for trial in complete],
            best.accumulate(values_of(complete)),
            where="post",
            color=COLOURS[2],
            label="best so far",
        )
        axes.legend(fontsize=8, loc="lower right" if rises else "upper right")
    axes.set(xlabel="trial", ylabel=metric, title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def trial_courses(trials: Sequence[TrialRecord], metric: str, title: str, best: int) -> Figure:
    """Returns every trial's objective against the step, with the best trial in front.

    Args:
        trials: Trials; those without a course are left out.
        metric: Name of the value.
        title: Title of the figure.
        best: Number of the best trial.
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
        if trial.state != "complete":  # mark the point where the trial ended
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
    axes.legend(handles=handles, fontsize=8, loc="lower right")
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


def timeline(trials: Sequence[TrialRecord], title: str) -> Figure:
    """Returns when each trial ran, on which worker, and how it ended.

    Args:
        trials: Trials; those without a start are left out.
        title: Title of the figure.
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


def complete_trials(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Returns the complete trials that have a value."""
    return [trial for trial in trials if trial.state == "complete" and trial.value is not None]


def values_of(trials: Sequence[TrialRecord]) -> NDArray[np.float64]:
    """Returns the value of each trial."""
    return np.array([trial.value for trial in trials], dtype=np.float64)
