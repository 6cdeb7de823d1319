"""Pages escape what they are given and fetch nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.evaluation.paired import Difference
from fer_mlops.evaluation.report import Estimate
from fer_mlops.reporting import html
from fer_mlops.reporting.html import Picture, bar, shaded, svg_of, uri_of, with_note
from fer_mlops.reporting.html.rendering import _TEMPLATES, show_cell
from fer_mlops.reporting.plots.style import INK, set_title, styled

EVIL = '<script>alert("1")</script>'
TEMPLATES = Path(html.__file__).parent / "templates"


def filled(macro: str, *values: object) -> str:
    """Returns what a macro makes of values."""
    names = [f"value{i}" for i in range(len(values))]
    source = f'{{% import "macros.html" as macros %}}{{{{ macros.{macro}({", ".join(names)}) }}}}'
    return _TEMPLATES.from_string(source).render(dict(zip(names, values, strict=True)))


def test_every_piece_escapes_plain_text() -> None:
    picture = Picture(images=((EVIL, EVIL),), captions=(EVIL,), name=EVIL)
    pieces = [
        filled("tiles", [(EVIL, EVIL, "")]),
        filled("heading", EVIL, EVIL),
        filled("table", [EVIL, EVIL], [[EVIL, EVIL]]),
        filled("gallery", [picture]),
        filled("chart", EVIL),
        shaded(EVIL, 0.5),
        with_note(EVIL, EVIL),
    ]
    page = "".join(pieces)
    assert "<script" not in page
    # a gallery shows a name twice, its last part without what stands before the slash
    assert page.count("&lt;script&gt;alert(&#34;1&#34;)") == 2 + 2 + 5 + 4 + 1 + 1 + 2


def test_no_template_turns_escaping_off() -> None:
    sources = [path.read_text() for path in TEMPLATES.glob("*.html")]
    assert len(sources) >= 8
    assert not [source for source in sources if re.search(r"\|\s*safe\b|autoescape", source)]


def test_html_is_not_escaped_twice() -> None:
    assert '<td data-label="b">a &amp; <b>b</b></td>' in filled(
        "table", ["a", "b"], [["", Markup("{} <b>b</b>").format("a &")]]
    )


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (12345, "12,345"),
        (0.12345, "0.123"),
        (0, "0"),
        (float("nan"), "–"),
        (None, "–"),
        (Markup("<b>1</b>"), "<b>1</b>"),
        (Estimate(0.5, 0.4, 0.6), "0.500 <small>[0.400, 0.600]</small>"),
        (Estimate(np.nan, np.nan, np.nan), "–"),
        (Difference(0.5, 0.4, 0.1, 0.05, 0.2, 0.9, 0.1), "+0.100 <small>[+0.050, +0.200]</small>"),
    ],
)
def test_a_cell_shows_a_value_as_a_reader_wants_it(cell: html.Cell, shown: str) -> None:
    assert show_cell(cell) == shown


def test_the_number_of_a_share_stands_after_its_bar() -> None:
    assert bar(0.07).endswith('width:7%"></i></span> 7%</span>')


def test_a_wide_table_is_stacked_on_a_phone_unless_it_is_a_matrix() -> None:
    wide = list("abcde")
    assert 'class="stacked"' in filled("table", wide, [wide])
    assert 'class="matrix"' in filled("table", wide, [wide], "matrix")
    assert 'class=""' in filled("table", wide[:4], [wide[:4]])


def test_a_picture_stands_inside_the_page() -> None:
    uri = uri_of(Image.fromarray(np.full((4, 4), 128, np.uint8)))
    assert uri.startswith("data:image/webp;base64,")


class Tags(HTMLParser):
    """Reads tags and words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text.encode().decode())  # without markupsafe's own type

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data


@styled
def figure_of(title: str) -> Figure:
    figure = Figure(figsize=(4, 3))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=title)
    axes.set_xticks([0, 1], [title, title])
    axes.imshow(np.eye(3), extent=(0, 1, 0, 1))
    set_title(figure, title)
    return figure


def test_a_figure_stands_in_the_page_in_the_pages_colours() -> None:
    drawn = svg_of(figure_of("plain"), "a chart")
    tag, attributes = Tags(drawn).tags[0]
    assert (tag, attributes["role"], attributes["aria-label"]) == ("svg", "img", "a chart")
    assert "fill: var(--ink)" in drawn
    assert "stroke: var(--muted)" in drawn
    assert INK not in drawn
    assert "<style" not in drawn  # it would style the whole page
    assert "http" not in drawn
    assert not re.findall(r'href="(?!#|data:)', drawn)


@pytest.mark.parametrize("name", [EVIL, "a $b$ $", "--><img src=x>", 'x" onload="alert(1)'])
def test_whatever_a_data_set_is_called_stays_text_in_a_figure(name: str) -> None:
    read = Tags(svg_of(figure_of(name), name))
    assert {tag for tag, _ in read.tags}.isdisjoint({"script", "img"})
    assert not [key for _, attributes in read.tags for key in attributes if key.startswith("on")]
    assert read.tags[0][1]["aria-label"] == name
    assert "".join(name.split()) in "".join(read.words.split())


def test_every_colour_of_a_figure_has_a_variable_in_the_style_sheet() -> None:
    style = (TEMPLATES / "style.css").read_text()
    for name in ("ink", "muted", "line", *(f"c{i}" for i in range(7))):
        assert f"--{name}: " in style
