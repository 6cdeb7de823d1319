"""Explanation of predictions: writes heat-map overlays, sheets, figures and a page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fer_mlops.data.image_files import FaceImages
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError
from fer_mlops.evaluation.explained_faces import ExplainedFaces, explain_faces
from fer_mlops.evaluation.explanation import Method, default_method
from fer_mlops.files import all_or_none
from fer_mlops.models.classifier import Classifier
from fer_mlops.progress import Progress, no_progress
from fer_mlops.reporting import plots
from fer_mlops.reporting.explanation_page import Pictures, render_page

PAGE, NUMBERS = "index.html", "explanations.json"
_MOST_IN_SHEET = 24  # most faces in the picture that compares two models


def explain_images(
    models: Sequence[tuple[str, Classifier]],
    images: FaceImages,
    out: Path,
    *,
    target: str | None = None,
    layer: str | None = None,
    method: Method | None = None,
    with_measures: bool = False,
    progress: Progress = no_progress,
) -> list[ExplainedFaces]:
    """Writes overlays, sheets, numbers and a page to ``out`` (all or none); returns the explanations.

    Raises:
        ConfigError: There are more than two models, or the layer or the method does not fit them.
        DataError: An image cannot be read, or ``out`` cannot be written.
    """
    if len(models) > 2:
        raise ConfigError(f"explain shows one model, or two side by side; got {len(models)} --model")
    methods = [method or default_method(classifier) for _, classifier in models]
    with all_or_none(out) as folder:
        advance = progress("explaining faces", len(models) * len(images.paths))
        explained = []
        for (name, classifier), used in zip(models, methods, strict=True):
            weighs = used == "gradcam" or "gradcam" not in methods  # else raises that no layer applies
            explained.append(
                explain_faces(
                    name,
                    classifier,
                    images,
                    target=target,
                    layer=layer if weighs else None,
                    method=method,
                    with_measures=with_measures,
                )
            )
            advance(len(images.paths))
        _write(explained, images, folder)
    return explained


def _write(explained: list[ExplainedFaces], images: FaceImages, folder: Path) -> None:
    marks = [""] if len(explained) == 1 else ["a_", "b_"]
    overlays = []
    for mark, model in zip(marks, explained, strict=True):
        drawn = []
        for number, image in enumerate(images.paths):
            name = f"{number:03}_{mark}{image.stem}_{EMOTIONS[model.targets[number]]}_{model.method}.png"
            picture = plots.overlay(model.pixels[number], model.heats[number])
            picture.save(folder / name)
            drawn.append(picture)
        overlays.append(drawn)
    order = list(range(len(images.paths)))
    if len(explained) == 2:
        order = _most_different(explained)
        _sheet(explained, images, order[:_MOST_IN_SHEET]).save(folder / "side_by_side.png")
    means: list[Figure | None] = []
    curves: list[Figure | None] = []
    for mark, model in zip(marks, explained, strict=True):
        about = model.described()
        means.append(plots.mean_heats(model.pixels, model.heats, model.targets, f"Mean maps, {about}"))
        title = f"Quality of the maps, {about}"
        curves.append(plots.attribution_curves(model.report, title) if model.report else None)
        for shown, name in ((means[-1], "mean_heat"), (curves[-1], "figures")):
            if shown:
                shown.savefig(folder / f"{mark}{name}.png")
    pictures = Pictures(overlays=overlays, order=order, means=means, curves=curves)
    numbers = json.dumps(numbers_of(explained, images), indent=2)
    (folder / NUMBERS).write_text(numbers, encoding="utf-8")
    (folder / PAGE).write_text(render_page(explained, images, pictures), encoding="utf-8")


def _most_different(explained: list[ExplainedFaces]) -> list[int]:
    """Returns all rows, ordered by how much the models differ, largest first."""
    first, second = (each.probabilities for each in explained)
    differs = first.argmax(1) != second.argmax(1)
    distance = np.abs(first - second).sum(1) + 2 * differs
    return [int(row) for row in np.argsort(-distance, kind="stable")]


def _sheet(explained: list[ExplainedFaces], images: FaceImages, rows: list[int]) -> Image.Image:
    def caption(model: ExplainedFaces, row: int) -> str:
        emotion, confidence = model.prediction(row)
        target = EMOTIONS[model.targets[row]]
        return f"{emotion} {confidence:.0%}" + (f"\nmap: {target}" if target != emotion else "")

    return plots.sheet_of_looks(
        [(explained[0].pixels[row], images.paths[row].name) for row in rows],
        [
            [(model.pixels[row], model.heats[row], caption(model, row)) for model in explained]
            for row in rows
        ],
        [model.described() for model in explained],
    )


def numbers_of(explained: Sequence[ExplainedFaces], images: FaceImages) -> list[dict[str, object]]:
    """Returns the predictions, and the measures of the maps, of each model as plain values, for JSON."""
    return [
        {
            "model": model.name,
            "family": model.family,
            "method": model.method,
            "layer": model.layer or None,
            "faces": [
                {
                    "image": str(image),
                    "explained": EMOTIONS[model.targets[row]],
                    **dict(zip(EMOTIONS, model.probabilities[row].round(6).tolist(), strict=True)),
                }
                for row, image in enumerate(images.paths)
            ],
            "measured": model.report.as_dict() if model.report else None,
        }
        for model in explained
    ]
