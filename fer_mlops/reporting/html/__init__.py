"""Self-contained HTML pages without scripts; every text is escaped."""

from fer_mlops.reporting.html.components import (
    Cell,
    Html,
    Mood,
    details,
    document,
    gallery,
    heading,
    paragraph,
    people_tile,
    picture,
    section,
    shaded,
    table,
    text,
    tiles,
    uri_of,
)

__all__ = [
    "Cell",
    "Html",
    "Mood",
    "details",
    "document",
    "gallery",
    "heading",
    "paragraph",
    "people_tile",
    "picture",
    "section",
    "shaded",
    "table",
    "text",
    "tiles",
    "uri_of",
]
