"""Draws scores against minutes, from scores.csv beside this file."""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FuncFormatter, NullFormatter
from matplotlib.transforms import Bbox

from fer_mlops.reporting.plots import COLOURS

HERE = Path(__file__).parent
OURS, COURSE = COLOURS[0], COLOURS[3]
MARKS = {"random": "o", "identity": "D"}
PANELS = {"accuracy": "accuracy", "macro_f1": "macro-F1"}
"""Column to title; the order of the two intervals in ``spread``."""
FLOORS = {"accuracy": 0.8, "macro_f1": 0.0}
"""What lies below stands at the lower edge and says so."""
PLACES = ((9, 0), (-9, 0), (0, 11), (0, -11), (9, 9), (9, -9), (-9, 9), (-9, -9), (9, 18), (9, -18))
PLACES += ((-9, 18), (-9, -18), (9, 27), (9, -27), (-9, 27), (-9, -27))
"""Where a label may stand, in points from its mark; the first that hides nothing is taken."""


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
    figure = Figure(figsize=(12, 5.6), dpi=110, layout="constrained")
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
        for label in labels[name]:
            _place(label, axes, taken)
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
    """Moves the label to the first place that hides nothing and lies inside, and takes it."""
    frame = axes.get_window_extent()
    for x, y in PLACES:
        label.set_position((x, y))
        label.set_horizontalalignment("left" if x > 0 else "right" if x < 0 else "center")
        label.set_verticalalignment("center")
        box = Text.get_window_extent(label)  # an annotation's own would hold its line too
        if frame.contains(*box.min) and frame.contains(*box.max) and not box.count_overlaps(taken):
            break
    taken.append(box)


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
