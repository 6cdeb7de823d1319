"""Heat map overlays on faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from fer_mlops.evaluation.explanation import HeatMaps
from fer_mlops.images.arrays import Images
from fer_mlops.reporting.plots.style import set_title, styled


def overlay(face: NDArray[np.uint8], heat: NDArray[np.float32], side: int = 192) -> Image.Image:
    """Returns the gray face under its heat map, as an RGB image of ``side`` x ``side`` pixels."""
    size = (side, side)
    gray = np.asarray(Image.fromarray(face).resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    wide = Image.fromarray(np.asarray(heat, np.float32)).resize(size, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(wide), 0, 1)
    warm = colormaps["inferno"](strength)[..., :3]
    alpha = 0.6 * strength[..., None]
    mixed = gray[..., None] * (1 - alpha) + warm * alpha
    return Image.fromarray((mixed * 255).round().astype(np.uint8))


@styled
def explanation_sheet(pixels: Images, heats: HeatMaps, captions: Sequence[str], title: str) -> Figure:
    """Returns the faces above their overlays, one column per face."""
    columns = len(captions)
    figure = Figure(figsize=(1.7 * columns, 4.0))
    set_title(figure, title)
    grid = figure.subplots(2, columns, squeeze=False)
    for i, caption in enumerate(captions):
        grid[0][i].imshow(pixels[i], cmap="gray", vmin=0, vmax=255)
        grid[1][i].imshow(overlay(pixels[i], heats[i]))
        grid[0][i].set_title(caption, fontsize=9, fontweight="normal", loc="center")
    for axes in grid.flat:
        axes.set_axis_off()
    return figure
