"""Training page: curves, pictures of each epoch behind a row of radio buttons, and augmented faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from PIL import Image

from fer_mlops.config import AugmentConfig
from fer_mlops.images.arrays import Images
from fer_mlops.reporting import plots
from fer_mlops.reporting.html import Picture, render, svg_of, uri_of, webp_uri
from fer_mlops.reporting.plots.training_curves import Curves
from fer_mlops.training.augmentation import make_augment

Pictures = Mapping[str, Mapping[int, bytes]]
"""WebP images by key, such as ``confusion_matrix/valid``, and step."""
MATRIX = "confusion_matrix/valid"
_SCORES = ("train/loss", "valid/loss", "valid/accuracy", "valid/balanced_accuracy", "valid/macro_f1")
_COPIES = 4


@dataclass(frozen=True)
class _Step:
    """Scores and pictures of one step."""

    number: int
    """Number on the curves."""
    name: str
    """Name as in the picture's title, without the number of epochs in all."""
    scores: Sequence[tuple[str, str]]
    matrix: str
    maps: Sequence[Picture]


def render_training(
    title: str, curves: Curves, pictures: Pictures, augmented: Sequence[Picture], facts: Sequence[str]
) -> str:
    """Returns the page as one self-contained HTML file without scripts."""
    scores = {name: dict(curves.get(name, ())) for name in _SCORES}
    num_steps = len(curves.get("valid/macro_f1", ()))
    unit = "training set" if "train/faces" in curves else "epoch"
    return render(
        "training.html",
        command="fer_mlops training",
        title=title,
        mood="note",
        numbers=[(str(num_steps), f"{unit}s" if num_steps != 1 else unit, "")],
        unit=unit,
        curves=svg_of(plots.training_curves(curves, ""), "loss, scores and learning rate"),
        # a checkpoint of an earlier version has step 0 too
        steps=[
            _step(n, _name_of(n, unit, curves), scores, pictures)
            for n in sorted(pictures.get(MATRIX, {}))
            if n
        ],
        augmented=augmented,
        facts=facts,
    )


def augmented_faces(config: AugmentConfig, faces: Images, seed: int) -> list[Picture]:
    """Returns gray faces uint8 [n, side, side], each beside augmented copies."""
    augment, generator = make_augment(config), torch.Generator().manual_seed(seed)
    found = []
    for face in faces[:]:
        batch = torch.from_numpy(face).float().div(255).expand(_COPIES, 1, *face.shape)
        copies = (augment(batch, generator) * 255).round().byte().squeeze(1).numpy()
        shown = [(_enlarged(face), "training face")]
        shown += [(_enlarged(copy), "augmented copy") for copy in copies]
        found.append(Picture(images=tuple(shown), captions=()))
    return found


def _enlarged(face: Images) -> str:
    return uri_of(Image.fromarray(face[:]).resize((112, 112), Image.Resampling.BICUBIC))


def _name_of(number: int, unit: str, curves: Curves) -> str:
    """Returns the name of a step: epochs with a frozen backbone are counted apart from later ones."""
    num_frozen = sum(phase == 1 for _, phase in curves.get("train/phase", ()))
    if number <= num_frozen:
        return f"frozen {unit} {number}"
    return f"{unit} {number - num_frozen}"


def _step(
    number: int, name: str, scores: Mapping[str, Mapping[int, float]], pictures: Pictures
) -> _Step:
    shown = [(name, f"{own[number]:.3f}") for name, own in scores.items() if number in own]
    maps = [
        Picture(
            images=((webp_uri(own[number]), f"heat map, {key}"),), captions=(key.rpartition("/")[2],)
        )
        for key, own in pictures.items()
        if key != MATRIX and number in own
    ]
    return _Step(number, name, shown, webp_uri(pictures[MATRIX][number]), maps)
