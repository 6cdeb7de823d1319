"""Style shared by all figures: colours, fonts, titles and conversion to pictures."""

from __future__ import annotations

import io
import textwrap

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.images.reading import colour_photo

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
"""Okabe and Ito's colours, which colour-blind readers can distinguish."""
INK, MUTED, LINE = "#1d2129", "#667085", "#d4d1ca"
"""Text and axes; secondary marks and reference lines; grid. Pages replace them in dark mode."""
WIDTH = 5.6
"""Width of a figure in inches that shares its row of a page with another."""
_LETTERS = 10  # letters of a title that fit into an inch

styled = mpl.rc_context(
    {
        "figure.dpi": 160,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # a name with two dollar signs is no formula
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "figure.titlesize": 10.5,
        "figure.titleweight": "bold",
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
    }
)
"""Decorator of functions that draw: sets the style while they run."""


def new_figure(title: str, height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """Returns a figure with a title and one pair of axes; sizes are in inches."""
    figure = Figure(figsize=(width, height))
    set_title(figure, title)
    return figure, figure.subplots()


def set_title(figure: Figure, title: str) -> None:
    """Sets the title of a figure in lines that fit its width."""
    lines = textwrap.wrap(title, int(_LETTERS * figure.get_figwidth()))
    figure.suptitle("\n".join(lines), x=0.01, ha="left")


def legend_below(figure: Figure, axes: Axes, columns: int) -> None:
    """Adds the legend of the axes below everything else, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def to_image(figure: Figure, dots_per_inch: int = 160) -> Image.Image:
    """Returns the figure as an RGB picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return colour_photo(buffer.getvalue())
