"""Colours and conversion shared by all figures."""

from __future__ import annotations

import io

from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.images.reading import colour_photo

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442")
"""Okabe and Ito's colours, which colour-blind readers can distinguish."""


def to_image(figure: Figure, dots_per_inch: int = 100) -> Image.Image:
    """Returns the figure as an RGB picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return colour_photo(buffer.getvalue())
