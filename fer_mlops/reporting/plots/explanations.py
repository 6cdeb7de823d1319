"""Figures of explanations: mean maps, maps of two models side by side, and attribution curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.face_share import HALF_HEIGHT, HALF_WIDTH
from fer_mlops.evaluation.attribution.report import AttributionReport
from fer_mlops.evaluation.explanation import HeatMaps
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.reporting.plots.style import COLOURS, MUTED, legend_below, set_title, styled

_SIDE, _CAPTION, _GAP = 128, 36, 10  # pixels: side of an image, height of its caption, space between
_ACROSS = 3  # faces per row of a sheet
_INK = (29, 33, 41)


@styled
def mean_heats(
    pixels: NDArray[np.uint8], heats: HeatMaps, emotions: Labels, title: str
) -> Figure | None:
    """Returns the mean map of each emotion over its mean face, or None if none has two faces.

    Each mean map is scaled to its own maximum; a dotted line marks the face ellipse of the measures.

    Faces are gray uint8, faces and maps [n, side, side]; ``emotions`` has the label that each map
    explains.
    """
    counts = np.bincount(emotions, minlength=len(EMOTIONS))
    shown = np.flatnonzero(counts >= 2)
    if not len(shown):
        return None
    width = max(1.7 * len(shown), 3.4)
    figure = Figure(figsize=(width, 2.3))
    set_title(figure, title)
    angle = np.linspace(0, 2 * np.pi, 100)
    for axes, label in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        own = emotions == label
        heat = heats[own].mean(0)
        face = pixels[own].mean(0).round().astype(np.uint8)
        picture = overlay(face, np.asarray(heat / max(heat.max(), 1e-9), np.float32))
        axes.imshow(picture, extent=(0, 1, 1, 0))
        axes.plot(0.5 + HALF_WIDTH * np.cos(angle), 0.5 + HALF_HEIGHT * np.sin(angle), "w:", lw=1)
        axes.set_title(f"{EMOTIONS[label]}\nn = {counts[label]}", fontsize=9, loc="center")
        axes.set_axis_off()
    return figure


def sheet_of_looks(
    faces: Sequence[tuple[NDArray[np.uint8], str]],
    maps: Sequence[Sequence[tuple[NDArray[np.uint8], NDArray[np.float32], str]]],
    names: Sequence[str],
) -> Image.Image:
    """Returns faces beside the overlays of each model.

    A face is (gray face, caption); ``maps`` has (prepared gray face, map, caption) by face and model.
    """
    per_face = 1 + len(names)
    across = min(_ACROSS, len(faces))
    width, height = per_face * _SIDE + _GAP, _SIDE + _CAPTION
    legend = 20 * len(names) + _GAP
    size = (across * width + _GAP, -(-len(faces) // across) * height + legend)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, name in enumerate(names):
        pen.text((_GAP, 4 + 20 * i), f"{'left' if i == 0 else 'right'} map: {name}", _INK, font)
    for number, ((face, caption), row) in enumerate(zip(faces, maps, strict=True)):
        left, top = _GAP + number % across * width, legend + number // across * height
        cells = [(Image.fromarray(face).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), caption)]
        cells += [(overlay(seen, heat, _SIDE), caption) for seen, heat, caption in row]
        for column, (picture, text) in enumerate(cells):
            place = left + column * _SIDE
            sheet.paste(picture, (place, top))
            fitting = "\n".join(_fitted(line, font) for line in text.splitlines())
            pen.multiline_text((place + 2, top + _SIDE + 1), fitting, _INK, font, spacing=1)
    return sheet


def _fitted(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Returns the line, shortened with an ellipsis if it is wider than an image."""
    while font.getlength(line) > _SIDE - 4:
        line = line.removesuffix("…")[:-1] + "…"
    return line


@styled
def attribution_curves(report: AttributionReport, title: str) -> Figure:
    """Returns deletion and insertion curves beside a random order, and the shuffled-weights test."""
    figure = Figure(figsize=(11, 3.6))
    set_title(figure, title)
    panels = figure.subplots(1, 3 if report.sanity else 2)
    removal = report.removal
    shares, backwards = np.array(removal.shares), removal.random_deletion[::-1]
    series = (
        ("deletion: lower is better", removal.deletion, removal.random_deletion, "blurred"),
        ("insertion: higher is better", removal.insertion, backwards, "put back"),
    )
    for axes, (name, own, by_chance, verb) in zip(panels, series, strict=False):
        axes.plot(shares, own, color=COLOURS[0], marker=".", label="strongest first")
        axes.plot(shares, by_chance, color=MUTED, ls="--", label="smooth random order")
        axes.fill_between(shares, own, by_chance, color=COLOURS[0], alpha=0.12)
        axes.set(xlabel=f"share of pixels {verb}", title=name, ylim=(0, 1))
    panels[0].set_ylabel("probability of the explained emotion")
    if report.sanity:
        _cascade(panels[2], report)
    for axes in panels:
        axes.grid()
    legend_below(figure, panels[0], 2)
    return figure


def _cascade(axes: Axes, report: AttributionReport) -> None:
    assert report.sanity
    shares, alike = (0.0, *report.sanity.randomised), (1.0, *report.sanity.cascade)
    axes.plot(shares, alike, color=COLOURS[3], marker="o")
    axes.axhline(0, color=MUTED, lw=1)
    axes.set(
        xlabel="share of layers shuffled, from the top",
        ylabel="rank correlation",
        title="weights shuffled: should fall to 0",
        ylim=(-0.5, 1.05),
    )


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
