"""HTML components of a page; each takes plain text and returns HTML."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Literal

import numpy as np
from PIL import Image

from fer_mlops import __version__
from fer_mlops.reporting.html.style import STYLE

Mood = Literal["", "clean", "note", "warning", "error"]
"""Kind of a message, shown as its colour."""


class Html(str):
    """Text that is already HTML and is not escaped again."""

    __slots__ = ()


Cell = Html | str | int | float | None
"""Table cell: a float is shown with three decimals, None and nan as a dash."""


def text(value: object) -> Html:
    """Returns a value as escaped HTML; bytes of a file name that are not UTF-8 become question marks."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(str(value).encode("utf-8", "replace").decode()))


def document(
    over: str,
    title: str,
    *,
    lead: Html,
    body: Iterable[Html],
    foot: Iterable[str] = (),
    mood: Mood = "",
) -> str:
    """Returns a whole page with a light, a dark and a print style.

    Args:
        over: Short line above the title: the command that made the page.
        title: First heading.
        lead: Header content: ``tiles`` and a ``paragraph`` of kind ``verdict``.
        body: Page content, in order.
        foot: Facts for the footer.
        mood: Mood of the header.
    """
    facts = "".join(f"<li>{text(fact)}</li>" for fact in foot)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{text(over)}: {text(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header class="{mood}">
<p class="over">{text(over)}</p>
<h1>{text(title)}</h1>
{lead}
</header>
<main>
{"".join(body)}
</main>
<footer>
<ul>{facts}<li>fer_mlops {__version__}. This file holds faces out of the data: share it as you would
the data.</li></ul>
</footer>
</body>
</html>
"""


def tiles(shown: Iterable[tuple[str, str, Mood]]) -> Html:
    """Returns tiles with large numbers, each (number, label, mood)."""
    items = (f'<li class="{mood}"><b>{text(num)}</b> {text(name)}</li>' for num, name, mood in shown)
    return Html(f'<ul class="tiles">{"".join(items)}</ul>')


def people_tile(num_people: int, num_unnamed: int) -> tuple[str, str, Mood]:
    """Returns a tile with the number of known identities."""
    if not num_people and num_unnamed:
        return "?", "people: no identities", "warning"
    unknown = f", and {num_unnamed:,} faces without identity" if num_unnamed else ""
    return f"{num_people:,}", ("person" if num_people == 1 else "people") + unknown, ""


def heading(title: str, about: str = "", anchor: str = "") -> Html:
    """Returns a second-level heading, with a short note beside it."""
    small = f" <small>{text(about)}</small>" if about else ""
    name = f' id="{text(anchor)}"' if anchor else ""
    return Html(f"<h2{name}>{text(title)}{small}</h2>")


def paragraph(said: str, kind: str = "") -> Html:
    """Returns a paragraph; the kind ``verdict`` has a frame."""
    name = f' class="{kind}"' if kind else ""
    return Html(f"<p{name}>{text(said)}</p>")


def section(title: str, *parts: Html, mood: Mood = "") -> Html:
    """Returns a framed card with a third-level heading."""
    tag = "article" if mood else "section"
    inner = "".join(parts)
    return Html(f'<{tag} class="{mood}"><h3>{text(title)}</h3>{inner}</{tag}>')


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Html:
    """Returns a table whose first column names its rows; a wide table scrolls."""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return Html(
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(cell: Cell) -> str:
    if isinstance(cell, str):
        kind = ' class="number"' if isinstance(cell, Html) else ""
        return f"<td{kind}>{text(cell)}</td>"
    if cell is None or not np.isfinite(cell):
        return '<td class="number">–</td>'
    shown = f"{cell:,}" if isinstance(cell, int) else f"{cell:.3f}"
    return f'<td class="number">{shown}</td>'


def shaded(shown: str, strength: float) -> Html:
    """Returns a cell with a shaded background, from none at strength 0 to full at 1."""
    return Html(f'<span class="score" style="--shade:{strength:.2f}">{text(shown)}</span>')


def gallery(pictures: Iterable[tuple[str, str, str]]) -> Html:
    """Returns small images in a grid, each (``data:`` address, name, caption)."""
    figures = "".join(
        f'<figure><img src="{uri}" alt="{text(name)}" loading="lazy"><figcaption><b>{text(said)}</b>'
        f'<span title="{text(name)}">{text(PurePosixPath(name).name)}</span></figcaption></figure>'
        for uri, name, said in pictures
    )
    return Html(f'<div class="gallery">{figures}</div>' if figures else "")


def picture(uri: str, said: str) -> Html:
    """Returns one wide image, such as a chart, with ``said`` as text for screen readers."""
    return Html(f'<p class="chart"><img src="{uri}" alt="{text(said)}"></p>')


def details(summary: str, *parts: Html) -> Html:
    """Returns parts that are folded until the reader opens them."""
    return Html(f"<details><summary>{text(summary)}</summary>{''.join(parts)}</details>")


def uri_of(image: Image.Image, *, is_drawing: bool = False) -> str:
    """Returns the image as a ``data:`` address; a drawing is compressed without loss."""
    content = io.BytesIO()
    image.save(content, format="WEBP", quality=80, lossless=is_drawing)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
