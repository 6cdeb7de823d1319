"""Charts of models side by side, by what they say."""

from __future__ import annotations

import pytest
from test_plots import texts, ticks

from fer_mlops.evaluation.paired import Difference
from fer_mlops.reporting import plots
from fer_mlops.reporting.plots.style import MUTED


def test_a_difference_chart_has_a_line_over_each_interval_and_its_numbers() -> None:
    rows = [
        ("macro F1", Difference(0.5, 0.4, 0.1, 0.05, 0.2, 0.99, 0.02)),
        ("accuracy", Difference(0.5, 0.5, 0.0, -0.1, 0.1, 0.5, 1.0)),
        ("recall", Difference(0.4, 0.5, -0.1, -0.2, -0.05, 0.01, 0.02)),
    ]
    axes = plots.difference_chart(rows, "one less two").axes[0]
    spans = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2][:3]  # type: ignore[arg-type]
    assert [list(span) for span in spans] == [[0.05, 0.2], [-0.1, 0.1], [-0.2, -0.05]]  # type: ignore[arg-type]
    assert [line.get_color() for line in axes.lines[:6:2]] == [
        plots.COLOURS[0],
        MUTED,
        plots.COLOURS[3],
    ]
    assert [line.get_ydata()[0] for line in axes.lines[:6:2]] == [2, 1, 0]  # type: ignore[index]
    assert ticks(list(axes.get_yticklabels())) == ["macro F1", "accuracy", "recall"]
    assert texts(axes)[0] == "+0.100 [+0.050, +0.200]"


def test_a_spread_chart_has_a_dot_for_each_run_and_the_mean_beside() -> None:
    runs = {"accuracy": {"default": [0.7, 0.8], "natural": [0.9, 0.9]}}
    means = {"accuracy": {"default": (0.75, 0.6, 0.9), "natural": (0.9, 0.9, 0.9)}}
    axes = plots.spread_chart(runs, means, "two seeds").axes[0]
    dots = [collection.get_offsets()[:, 1].tolist() for collection in axes.collections[::2]]  # type: ignore[union-attr,index,call-overload]
    assert dots == [[0.7, 0.8], [0.9, 0.9]]
    assert texts(axes) == ["0.750", "0.900"]
    assert ticks(list(axes.get_xticklabels())) == ["default", "natural"]
    (segment,) = axes.containers[0].lines[2][0].get_segments()  # type: ignore[attr-defined]
    assert segment[:, 1].tolist() == pytest.approx([0.6, 0.9])
