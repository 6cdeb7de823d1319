"""Pages escape what they are given and fetch nothing."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fer_mlops.reporting.html import (
    Html,
    details,
    document,
    gallery,
    paragraph,
    section,
    table,
    text,
    uri_of,
)

EVIL = '<script>alert("1")</script>'


def test_every_piece_escapes_plain_text() -> None:
    pieces = [
        text(EVIL),
        paragraph(EVIL),
        section(EVIL, paragraph(EVIL)),
        table([EVIL], [[EVIL]]),
        gallery([("data:", EVIL, EVIL)]),
        details(EVIL, paragraph(EVIL)),
    ]
    page = document(EVIL, EVIL, lead=Html(""), body=pieces, foot=[EVIL])
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&quot;1&quot;)") == 16


def test_html_is_not_escaped_twice() -> None:
    assert text(text("a & b")) == "a &amp; b"


def test_a_table_shows_numbers_as_a_reader_wants_them() -> None:
    html = table(["n", "score"], [[12345, 0.12345], [0, float("nan")], [None, Html("<b>1</b>")]])
    for cell in ("12,345", "0.123", ">0<", ">–<", "<b>1</b>"):
        assert cell in html


def test_a_picture_stands_inside_the_page() -> None:
    uri = uri_of(Image.fromarray(np.full((4, 4), 128, np.uint8)), is_drawing=True)
    assert uri.startswith("data:image/webp;base64,")
