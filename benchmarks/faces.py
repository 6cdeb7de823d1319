"""Finding faces in whole photos: how many are found, how many are none, and what the cut-out costs."""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
import sklearn
from machine import describe
from numpy.typing import NDArray
from PIL import Image

from fer_mlops import load
from fer_mlops.emotions import EMOTIONS
from fer_mlops.files import cache_folder
from fer_mlops.serving.onnx_export import data_of

SIZE = (1024, 768)
PER_PHOTO = 6
SMALLEST, LARGEST = 48, 200
LEAST_SIDE = 200
"""Pixels that a crop must have to be pasted: smaller ones are blurred before we make them so."""


def grounds() -> list[Path]:
    """Returns photos without people that come with scikit-learn and scikit-image."""
    photos = [
        Path(sklearn.__file__).parent / "datasets/images" / name for name in ("china.jpg", "flower.jpg")
    ]
    names = ("coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "brick.png", "grass.png")
    return photos + [Path(skimage.__file__).parent / "data" / name for name in names]


@dataclass
class Pasted:
    """A face at a known place."""

    left: int
    top: int
    side: int
    label: int
    crop: Image.Image
    """As pasted, for what the classifier says of the face itself."""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    answer: int = -1
    """Of the face found here; -1 where none was."""

    def is_at(self, box: tuple[int, int, int, int]) -> bool:
        across, down = (box[0] + box[2]) / 2 - self.left, (box[1] + box[3]) / 2 - self.top
        near = max(abs(across - self.side / 2), abs(down - self.side / 2)) < 0.3 * self.side
        return near and 0.4 < (box[2] - box[0]) / self.side < 1.7


def free_place(rng: np.random.Generator, taken: list[Pasted]) -> tuple[int, int, int] | None:
    for _ in range(200):
        side = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST + 1))))
        left, top = int(rng.integers(0, SIZE[0] - side)), int(rng.integers(0, SIZE[1] - side))
        if all(
            left + side < one.left
            or one.left + one.side < left
            or top + side < one.top
            or one.top + one.side < top
            for one in taken
        ):
            return left, top, side
    return None


def mask_of(side: int, is_round: bool) -> Image.Image:
    """Returns a mask whose edge is soft: a square's, or a disc's where the face is turned."""
    down, across = np.mgrid[0:side, 0:side]
    if is_round:
        depth = side / 2 - np.hypot(across - side / 2 + 0.5, down - side / 2 + 0.5)
    else:
        depth = np.minimum.reduce([across, down, side - 1 - across, side - 1 - down])
    return Image.fromarray(np.clip(depth / (0.06 * side) * 255, 0, 255).astype(np.uint8))


def compose(
    rng: np.random.Generator, ground: Path, faces: list[tuple[Path, int]], degrees: float
) -> tuple[Image.Image, list[Pasted]]:
    photo = Image.open(ground).convert("RGB").resize(SIZE)
    pasted: list[Pasted] = []
    for file, label in faces:
        place = free_place(rng, pasted)
        if place is None:
            continue
        left, top, side = place
        crop = Image.open(file).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        turned = crop.rotate(rng.uniform(-degrees, degrees), Image.Resampling.BICUBIC)
        photo.paste(turned, (left, top), mask_of(side, degrees > 0))
        pasted.append(Pasted(left, top, side, label, crop))
    return photo, pasted


def accuracy(answers: NDArray[np.int64], labels: NDArray[np.int64]) -> str:
    return f"{(answers == labels).mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="models:/… or runs:/…, trained on real faces")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--part", choices=["valid", "test"], default="test")
    parser.add_argument("--degrees", type=float, default=0.0, help="turn each face by up to so many")
    asked = parser.parse_args()
    print(describe())
    model = load(asked.model)
    data = data_of(asked.model, None, cache_folder())
    rows = data.split.parts()[asked.part]
    files = [(data.table.root / data.table.paths[row], int(data.table.labels[row])) for row in rows]
    faces = [(file, label) for file, label in files if min(Image.open(file).size) >= LEAST_SIDE]
    rng = np.random.default_rng(0)
    rng.shuffle(faces)
    everyone: list[Pasted] = []
    num_false, seconds = 0, []
    photos = min(asked.photos, len(faces) // PER_PHOTO)
    for number in range(photos):
        some = faces[number * PER_PHOTO : (number + 1) * PER_PHOTO]
        photo, pasted = compose(rng, grounds()[number % len(grounds())], some, asked.degrees)
        start = time.perf_counter()
        found = model.find(photo)
        seconds.append(time.perf_counter() - start)
        for one in found:
            here = next((p for p in pasted if p.answer < 0 and p.is_at(one.box)), None)
            if here is None:
                num_false += 1
            else:
                here.box, here.answer = one.box, EMOTIONS.index(one.answer.emotion)
        everyone += pasted
    answers = np.array([one.answer for one in everyone])
    labels = np.array([one.label for one in everyone])
    sides = np.array([one.side for one in everyone])
    print(f"{len(everyone)} faces of {SMALLEST} to {LARGEST} px in {photos} photos")
    for low, high in ((SMALLEST, 64), (64, 96), (96, LARGEST + 1), (SMALLEST, LARGEST + 1)):
        band = (sides >= low) & (sides < high)
        print(f"  {low} to {high - 1} px: recall {(answers[band] >= 0).mean():.3f} of {band.sum()}")
    print(f"{num_false} false alarms")
    is_found = answers >= 0
    own = model.predict([one.crop for one in everyone]).probabilities.argmax(1)
    print(
        f"accuracy on the faces found: {accuracy(answers[is_found], labels[is_found])} as cut out, "
        f"{accuracy(own[is_found], labels[is_found])} as pasted"
    )
    print(
        f"seconds a photo, finding and classifying: median {statistics.median(seconds):.2f} "
        f"[{min(seconds):.2f}, {max(seconds):.2f}]"
    )


if __name__ == "__main__":
    main()
