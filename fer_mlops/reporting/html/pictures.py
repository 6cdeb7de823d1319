"""Pictures embedded in a page: photos as data addresses, figures as SVG in the page's colours."""

from __future__ import annotations

import base64
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.data.file_info import MOST_BYTES, MOST_PIXELS
from fer_mlops.images.reading import colour_photo, open_image
from fer_mlops.reporting.plots.style import COLOURS, INK, LINE, MUTED

SIDE = 224
"""Largest longer side of an embedded photo, in pixels; smaller images are not enlarged."""
_LARGEST = 110  # largest width of a figure on a page, in CSS pixels for each of its inches
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line"} | {c: f"c{i}" for i, c in enumerate(COLOURS)}
# CSS variables of style.css by the colour that they replace, so that dark mode can change it
_BY_COLOUR = {colour.lower(): f": var(--{name})" for colour, name in _VARIABLES.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Picture of a gallery: one image or several side by side, enlarged together on a click."""

    images: tuple[tuple[str, str], ...]
    """(``data:`` address, text for screen readers) of each image."""
    captions: tuple[str, ...]
    name: str = ""
    """Path of the file, of which the page shows the last part."""

    @property
    def file(self) -> str:
        return PurePosixPath(self.name).name


def photo(root: Path, image: str, *captions: str) -> Picture | None:
    """Returns the picture of one file of a data set; None if it cannot be read."""
    uri = picture_uri(root, image)
    return Picture(images=((uri, image),), captions=captions, name=image) if uri else None


def picture_uri(root: Path, image: str) -> str:
    """Returns a thumbnail in the image's own colours, as a ``data:`` address.

    No file outside of ``root`` is read; ``image`` is relative to it.

    Returns:
        The address; empty if there is no such image, or it cannot be read.
    """
    try:
        file = (root / image).resolve()  # a link may lead out of the folder
        is_ours = file.is_relative_to(root.resolve()) and file.is_file()
        if not is_ours or file.stat().st_size > MOST_BYTES:
            return ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the data check already reports Pillow's warnings
            with open_image(file) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    return ""
            return uri_of(colour_photo(file, SIDE), quality=70)
    except Exception:  # decoders may raise anything on a broken file; the page then omits it
        return ""


def uri_of(image: Image.Image, quality: int = 80) -> str:
    """Returns the image as a ``data:`` address."""
    content = io.BytesIO()
    image.save(content, format="WEBP", quality=quality)
    return webp_uri(content.getvalue())


def webp_uri(content: bytes) -> str:
    """Returns an image encoded as WebP as a ``data:`` address."""
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def svg_of(figure: Figure, alt_text: str) -> Markup:
    """Returns a figure as inline SVG that follows the page's light or dark mode."""
    content = io.StringIO()
    # fonttype: letters stay text in the page's font; hashsalt and no date: equal figures, equal pages
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fer_mlops"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(content, format="svg", dpi=144, transparent=True, metadata=nothing)
    drawn = re.search(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>(.*)', content.getvalue(), re.DOTALL)
    assert drawn, "matplotlib writes one svg element"
    # a style element would apply to the whole page
    inner = re.sub(r"<(metadata|style).*?</\1>", "", drawn[2], flags=re.DOTALL)
    inner = re.sub(r": (#[0-9a-f]{6})\b", lambda hit: _BY_COLOUR.get(hit[1], hit[0]), inner)
    inner = re.sub(r"font: ([\w. ]*?)([\d.]+px) [^;\"]*", r"font: \1\2 var(--font)", inner)
    inner = inner.replace("xlink:href", "href")
    largest = f"--largest: {_LARGEST * figure.get_figwidth():.0f}px"
    head = f'<svg role="img" aria-label="{escape(alt_text)}" viewBox="{drawn[1]}" style="{largest}">'
    return Markup(head + inner)
