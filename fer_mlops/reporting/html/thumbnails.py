"""Thumbnails embedded in a page."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path

from fer_mlops.data.file_info import MOST_BYTES, MOST_PIXELS
from fer_mlops.images.reading import colour_photo, open_image

SIDE = 112
"""Largest longer side of a thumbnail, in pixels; smaller images are not enlarged."""


def picture_uri(root: Path, image: str) -> str:
    """Returns a thumbnail in the image's own colours, as a ``data:`` address.

    Args:
        root: Folder of the data set; no file outside of it is read.
        image: Path relative to ``root``.

    Returns:
        The address; empty if there is no such image, or it cannot be read.
    """
    try:
        file = (root / image).resolve()
        is_ours = file.is_relative_to(root.resolve()) and file.is_file()
        if not is_ours or file.stat().st_size > MOST_BYTES:
            return ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the data check already reports Pillow's warnings
            with open_image(file) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    return ""
            small = colour_photo(file, SIDE)
        content = io.BytesIO()
        small.save(content, format="WEBP", quality=70)
    except Exception:  # decoders may raise anything on a broken file; the page then omits it
        return ""
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
