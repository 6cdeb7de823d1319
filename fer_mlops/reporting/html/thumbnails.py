"""Small pictures that stand inside a page."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path

from fer_mlops.data.file_info import MOST_BYTES, MOST_PIXELS
from fer_mlops.images.reading import colour_photo, open_image

SIDE = 112
"""Pixels of a picture's longer side, at most; smaller ones stay as they are."""


def picture_uri(root: Path, image: str) -> str:
    """Returns the image, small and in its own colours, as a ``data:`` address.

    Args:
        root: Folder of the data set, outside of which nothing is read.
        image: Path relative to it.

    Returns:
        The address; empty if there is no such image, or it cannot be read.
    """
    try:
        file = (root / image).resolve()
        is_ours = file.is_relative_to(root.resolve()) and file.is_file()
        if not is_ours or file.stat().st_size > MOST_BYTES:
            return ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of odd files: they were findings already
            with open_image(file) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    return ""
            small = colour_photo(file, SIDE)
        content = io.BytesIO()
        small.save(content, format="WEBP", quality=70)
    except Exception:  # a broken file makes a decoder raise anything; the page goes without it
        return ""
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
