"""Self-contained HTML pages without scripts, made from the templates in ``templates/``."""

from fer_mlops.reporting.html.pictures import Picture, photo, svg_of, uri_of, webp_uri
from fer_mlops.reporting.html.rendering import (
    Cell,
    Mood,
    Page,
    Tile,
    bar,
    people_tile,
    render,
    shaded,
    with_note,
)

__all__ = [
    "Cell",
    "Mood",
    "Page",
    "Picture",
    "Tile",
    "bar",
    "people_tile",
    "photo",
    "render",
    "shaded",
    "svg_of",
    "uri_of",
    "webp_uri",
    "with_note",
]
