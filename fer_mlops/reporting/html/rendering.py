"""Rendering of pages: fills a template; every text is escaped."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Literal

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fer_mlops import __version__
from fer_mlops.evaluation.paired import Difference
from fer_mlops.evaluation.report import Estimate

Cell = Markup | Estimate | Difference | str | int | float | None
"""Table cell: a float has three decimals, a score has its interval, None and nan are a dash."""


class Page(str):
    """Self-contained HTML page, which a notebook shows in a frame of its own."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Page({len(self):,} characters)"

    def _repr_html_(self) -> str:
        # sandbox: the page runs no script and cannot reach the notebook
        style = "width:100%;height:80vh;border:1px solid #8888"
        return f'<iframe sandbox style="{style}" srcdoc="{html.escape(self)}"></iframe>'


def render(template: str, **content: object) -> Page:
    """Returns a self-contained page; bytes of a file name that are not UTF-8 become question marks."""
    page = _TEMPLATES.get_template(template).render(version=__version__, **content)
    return Page(page.encode("utf-8", "replace").decode())


def show_cell(cell: Cell) -> str:
    """Returns the text of a table cell."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Estimate | Difference):
        number, _, interval = str(cell).partition(" ")
        return with_note(number, interval) if np.isfinite(cell.value) else "–"
    if cell is None or not np.isfinite(cell):
        return "–"
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.3f}"


def with_note(text: str, note: str) -> Markup:
    """Returns a text with a small note, such as a score with its interval."""
    return Markup("{} <small>{}</small>").format(text, note)


def bar(share: float) -> Markup:
    """Returns a share as a percentage, after a bar; bars below each other start at the same place."""
    drawn = '<span class="share"><span class="bar"><i style="width:{0:.0%}"></i></span> {0:.0%}</span>'
    return Markup(drawn).format(share)


def shaded(text: str, strength: float) -> Markup:
    """Returns a cell with a shaded background, from none at strength 0 to full at 1."""
    return Markup('<span class="score" style="--shade:{:.2f}">{}</span>').format(strength, text)


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,  # names of files, labels and models may hold HTML
    undefined=StrictUndefined,  # a misspelt name in a template is an error, not an empty text
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["cell"] = show_cell


Mood = Literal["", "clean", "note", "warning", "error"]
"""Kind of a message, shown as its colour."""
Tile = tuple[str, str, Mood]
"""Number, label and mood."""


def people_tile(num_people: int, num_unnamed: int) -> Tile:
    """Returns a tile with the number of known identities."""
    if not num_people and num_unnamed:
        return "?", "people: no identities", "warning"
    unknown = f", and {num_unnamed:,} faces without identity" if num_unnamed else ""
    return f"{num_people:,}", ("person" if num_people == 1 else "people") + unknown, ""
