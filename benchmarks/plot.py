"""Draws scores against minutes, from scores.csv beside this file."""

from __future__ import annotations

import argparse
import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from fer_mlops.reporting.plots import COLOURS

HERE = Path(__file__).parent
OURS, COURSE = COLOURS[0], COLOURS[3]
MARKS = {"random": "o", "identity": "D"}
PANELS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
"""Column to title; the order of the two intervals in ``spread``."""
FLOORS = {"accuracy": 0.8, "macro_f1": 0.0}
"""What lies below stands at the lower edge and says so."""
_ANGLES = (0, 8, 2, 14, 6, 10, 4, 12, 1, 15, 7, 9, 3, 13, 5, 11)
PLACES = [
    (round(reach * math.cos(angle * math.pi / 8)), round(reach * math.sin(angle * math.pi / 8)))
    for reach in (9, 14, 20, 28, 38, 50, 64, 80)
    for angle in _ANGLES
]
"""Where a label may stand, in points from its mark; the first that hides least is taken."""


@dataclass(frozen=True)
class Row:
    """One recipe on one split."""

    recipe: str
    split: str
    n: str
    minutes: float
    scores: dict[str, float]
    """Column to value, where there is one."""
    spread: dict[str, tuple[float, float]]
    """Column to the least and most of the seeds, where there are several."""

    @property
    def is_course(self) -> bool:
        return self.recipe.startswith("course")


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of the csv; ``spread`` is ``least-most/least-most`` of accuracy and macro-F1."""
    rows = []
    with path.open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            ends = [part.split("-") for part in line["spread"].split("/") if part]
            rows.append(
                Row(
                    recipe=line["recipe"],
                    split=line["split"],
                    n=line["n"],
                    minutes=float(line["minutes"]),
                    scores={name: float(line[name]) for name in PANELS if line[name]},
                    spread={
                        name: (float(low), float(high))
                        for name, (low, high) in zip(PANELS, ends, strict=False)
                    },
                )
            )
    return rows


def draw(rows: list[Row]) -> Figure:
    """Returns the figure: one panel per score, minutes on a log axis, a label at each mark."""
    figure = Figure(figsize=(12, 7), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    counts = sorted({int(row.n) for row in rows if row.n})
    title = f"Muxspace, test n = {counts[0]:,} to {counts[-1]:,}; two CPU cores, no GPU; bars: seeds"
    figure.suptitle(title, fontsize=10)
    panels = dict(zip(PANELS, figure.subplots(1, 2), strict=True))
    labels: dict[str, list[Annotation]] = {}
    for name, axes in panels.items():
        shown = [row for row in rows if name in row.scores]
        labels[name] = [
            _mark(axes, row, name, minutes) for row, minutes in zip(shown, _apart(shown), strict=True)
        ]
        _dress(axes, PANELS[name])
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    canvas.draw()  # type: ignore[no-untyped-call]
    figure.set_layout_engine("none")
    for name, axes in panels.items():
        marks = axes.transData.transform([label.xy for label in labels[name]])
        taken = [Bbox.from_bounds(x - 8, y - 8, 16, 16) for x, y in marks]
        taken += [bar.get_window_extent() for bar in axes.lines if bar.get_marker() == "None"]
        gaps = np.hypot(*(marks[:, None] - marks[None]).transpose(2, 0, 1))
        for row in np.argsort(np.sort(gaps)[:, 3]):  # the most crowded first
            _place(labels[name][row], axes, taken)
    return figure


def _mark(axes: Axes, row: Row, name: str, minutes: float) -> Annotation:
    value, colour = row.scores[name], COURSE if row.is_course else OURS
    is_below = value < FLOORS[name]
    point = (minutes, FLOORS[name] if is_below else value)
    if name in row.spread:
        axes.plot([minutes] * 2, row.spread[name], color=colour, lw=1.5)
    face = colour if row.split == "random" else "white"
    mark = "v" if is_below else MARKS[row.split]
    axes.plot(*point, mark, color=colour, markerfacecolor=face, ms=8, mew=1.6)
    text = f"{row.recipe.removeprefix('course ')}  {value:.4g}{' (below)' if is_below else ''}"
    line = {"arrowstyle": "-", "lw": 0.6, "color": colour, "shrinkA": 0, "shrinkB": 5}
    style = {"fontsize": 8.5, "color": colour, "arrowprops": line}
    label = axes.annotate(text, point, (0, 0), textcoords="offset points", **style)  # type: ignore[arg-type]
    label.set_in_layout(False)
    return label


def _apart(rows: list[Row]) -> list[float]:
    """Returns the minutes of each row; equal ones are drawn a twelfth apart."""
    seen: dict[float, int] = {}
    minutes = []
    for row in rows:
        seen[row.minutes] = seen.get(row.minutes, -1) + 1
        minutes.append(row.minutes * (1 + seen[row.minutes] / 12))
    return minutes


def _dress(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.4, 260)
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50, 100, 200])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("minutes of training, log scale")
    axes.set_title(title, loc="left", fontweight="bold")
    axes.margins(y=0.12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _legend() -> list[Line2D]:
    def handle(colour: str, mark: str, face: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, marker=mark, markerfacecolor=face, ls="", ms=8, label=label)

    return [
        handle(OURS, "o", OURS, "fer_mlops, random split"),
        handle(OURS, "D", "white", "fer_mlops, identity split: nobody in train and test at once"),
        handle(COURSE, "o", COURSE, "course project, random split, as reported (another machine)"),
    ]


def _place(label: Annotation, axes: Axes, taken: list[Bbox]) -> None:
    """Moves the label to the first place inside the panel where it and its line hide least."""
    frame, mark = axes.get_window_extent(), axes.transData.transform(label.xy)

    def box_at(place: tuple[int, int]) -> Bbox:
        x, _ = place
        label.set_position(place)
        label.set_horizontalalignment("left" if x > 4 else "right" if x < -4 else "center")
        label.set_verticalalignment("center")
        return Text.get_window_extent(label)  # an annotation's own would hold its line too

    def hidden(place: tuple[int, int]) -> int:
        box = box_at(place)
        is_inside = frame.contains(*box.min) and frame.contains(*box.max)
        crossed = sum(part.count_overlaps(taken) for part in _line(mark, box))
        return crossed + 10 * box.padded(2).count_overlaps(taken) + 1000 * (not is_inside)

    box = box_at(min(PLACES, key=hidden))
    taken += [box, *_line(mark, box)]


def _line(mark: NDArray[np.float64], box: Bbox) -> list[Bbox]:
    """Returns small boxes along the line from the edge of a mark to the nearest point of a label."""
    end = mark.clip(box.min, box.max)
    length = float(np.hypot(*(end - mark)))
    places = np.arange(13, length, 3) / max(length, 1)
    return [Bbox.from_bounds(*(mark + share * (end - mark) - 1), 2, 2) for share in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=HERE / "scores.csv")
    picture = HERE.parent / "docs" / "images" / "score_against_minutes.png"
    parser.add_argument("--out", type=Path, default=picture)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw(read_rows(options.scores)).savefig(options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
