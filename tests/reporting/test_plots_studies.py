"""Pictures of a study."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from matplotlib.axes import Axes

from fer_mlops.reporting import plots
from fer_mlops.reporting.plots import TrialRecord
from fer_mlops.reporting.plots.trials import State

BEGIN = datetime(2026, 1, 1)


def trial(
    number: int, value: float | None, state: State = "complete", **settings: float | str
) -> TrialRecord:
    return TrialRecord(number=number, value=value, state=state, settings=settings)


def legend(axes: Axes) -> list[str]:
    shown = axes.get_legend()
    assert shown
    return [text.get_text() for text in shown.get_texts()]


def test_a_study_history_tells_complete_from_pruned_and_draws_the_best_so_far() -> None:
    trials = [trial(0, 0.3), trial(1, 0.5, "pruned"), trial(2, 0.2), trial(3, 0.4)]
    axes = plots.study_history(trials, "valid/macro_f1", "study").axes[0]
    complete, pruned = axes.collections
    np.testing.assert_array_equal(complete.get_offsets(), [(0, 0.3), (2, 0.2), (3, 0.4)])
    np.testing.assert_array_equal(pruned.get_offsets(), [(1, 0.5)])
    assert list(axes.lines[0].get_ydata()) == [0.3, 0.3, 0.4]  # type: ignore[arg-type]
    assert legend(axes) == ["complete", "pruned, last value", "best so far"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("trial", "valid/macro_f1")
    assert axes.get_title() == "study"
    falling = plots.study_history(trials, "valid/loss", "study", rises=False).axes[0]
    assert list(falling.lines[0].get_ydata()) == [0.3, 0.2, 0.2]  # type: ignore[arg-type]


def test_a_study_history_of_pruned_trials_only_has_no_best_and_is_no_crash() -> None:
    axes = plots.study_history([trial(0, 0.3, "pruned")], "valid/macro_f1", "study").axes[0]
    assert list(axes.lines) == []
    assert len(axes.collections) == 1


def test_importances_put_the_largest_share_on_top() -> None:
    shares = {"dropout": 0.1, "learning_rate": 0.7, "loss": 0.2}
    axes = plots.importances(shares).axes[0]
    ticks = [label.get_text() for label in axes.get_yticklabels()]
    assert ticks == ["dropout", "loss", "learning_rate"]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7]  # type: ignore[attr-defined]
    assert [text.get_text() for text in axes.texts] == ["0.10", "0.20", "0.70"]


def test_courses_mark_where_a_trial_was_ended_and_put_the_best_in_front() -> None:
    whole = TrialRecord(number=0, value=0.5, state="complete", course=[(1, 0.2), (2, 0.5)])
    ended = TrialRecord(number=1, value=0.1, state="pruned", course=[(1, 0.1)])
    axes = plots.trial_courses([whole, ended, trial(2, None, "failed")], "f1", "study", best=0).axes[0]
    best, line, end = axes.lines
    assert list(best.get_ydata()) == [0.2, 0.5]  # type: ignore[arg-type]
    assert best.get_linewidth() > line.get_linewidth()
    assert (list(end.get_xdata()), end.get_marker()) == ([1], "x")  # type: ignore[arg-type]
    assert legend(axes) == ["complete", "pruned", "best: trial 0"]


def test_parallel_coordinates_put_numbers_on_their_scales_and_leave_out_what_was_not_asked() -> None:
    trials = [
        trial(0, 0.1, rate=0.001, loss="focal"),
        trial(1, 0.3, rate=0.1, loss="plain", tau=1.0),
        trial(2, 0.2, rate=0.01, loss="focal", tau=0.5),
        trial(3, 0.9, "pruned", rate=0.05, loss="focal"),
    ]
    axes = plots.parallel_coordinates(trials, ["rate", "loss", "tau"], {"rate"}, "f1").axes[0]
    heights = [line.get_ydata() for line in axes.lines[:3]]
    np.testing.assert_allclose(heights, [[0, 0, np.nan], [0.5, 0, 0], [1, 1, 1]])  # the worst first
    labels = [text.get_text() for text in axes.texts]
    assert labels == ["0.001", "0.01", "0.1", "focal", "plain", "0.5", "0.75", "1"]
    falling = plots.parallel_coordinates(trials, ["rate"], set(), "loss", rises=False).axes[0]
    assert [line.get_ydata()[0] for line in falling.lines[:3:2]] == [1, 0]  # type: ignore[index]


def test_slices_have_a_panel_for_each_setting_with_its_own_scale() -> None:
    trials = [trial(i, 0.1 * i, rate=10.0**-i, loss="a" if i % 2 else "b") for i in range(1, 4)]
    rate, loss = plots.slices(trials, ["rate", "loss"], {"rate"}, "f1").axes[:2]
    assert (rate.get_xscale(), loss.get_xscale()) == ("log", "linear")
    points = [[0.1, 0.1], [0.01, 0.2], [0.001, 0.3]]
    np.testing.assert_allclose(rate.collections[0].get_offsets(), points)
    assert [label.get_text() for label in rate.get_xticklabels()] == ["0.001", "0.01", "0.1"]
    assert [label.get_text() for label in loss.get_xticklabels()] == ["a", "b"]
    assert (rate.get_title(), rate.get_ylabel()) == ("rate", "f1")


def test_a_timeline_has_a_row_for_each_worker_and_a_bar_for_each_trial() -> None:
    def ran(number: int, worker: str, start: int, end: int | None, state: State) -> TrialRecord:
        return TrialRecord(
            number=number,
            value=None,
            state=state,
            worker=worker,
            start=BEGIN + timedelta(minutes=start),
            end=None if end is None else BEGIN + timedelta(minutes=end),
        )

    trials = [
        ran(0, "vm:7:abc", 0, 2, "complete"),
        ran(1, "vm:8:abc", 1, 3, "pruned"),
        ran(2, "vm:7:abc", 2, None, "running"),
    ]
    axes = plots.timeline(trials, "study").axes[0]
    bars = [(b.get_x(), b.get_width(), round(b.get_y() + 0.4)) for b in axes.patches]  # type: ignore[attr-defined]
    assert bars == [(0, 2, 0), (1, 2, 1), (2, 1, 0)]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["vm:7", "vm:8"]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5]])
def test_one_value_alone_is_no_crash(values: list[float]) -> None:
    trials = [trial(i, value, rate=0.1) for i, value in enumerate(values)]
    plots.parallel_coordinates(trials, ["rate"], set(), "f1")
    plots.slices(trials, ["rate"], set(), "f1")
    plots.timeline(trials, "no times")
