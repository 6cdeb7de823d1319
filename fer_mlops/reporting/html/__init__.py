"""Self-contained HTML pages without scripts, made from the templates in ``templates/``."""

from fer_mlops.reporting.html.pictures import Picture, photo, svg_of, uri_of, webp_uri
from fer_mlops.reporting.html.rendering import Cell, Page, bar, render, shaded, with_note
from fer_mlops.reporting.html.tiles import Mood, Tile, people_tile

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
