"""The drawn sample: 70 identities x 7 emotions x 2 drawings, for tests and first runs.

It shows no real person, and scores on it measure nothing. It only proves that the pipeline works.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from fer_mlops.data.datasets.base import DataSet, Request
from fer_mlops.data.datasets.synthetic_faces import Drawing, Person, Region, draw_face
from fer_mlops.data.table import FaceTable, Note, Row, make_table
from fer_mlops.emotions import EMOTIONS
from fer_mlops.files import make_once

NUM_IDENTITIES = 70
VARIANTS = 2
SIDE = 96  # side of a drawn face, in pixels
_VERSION = 1  # also the seed; to be raised when drawings change


def load(_: Path, request: Request) -> FaceTable:
    """Returns the sample, drawn into the cache on first use."""
    folder = drawn_folder(request.cache)
    rows = []
    for path in sorted(folder.glob("*/*.png")):
        identity = path.stem.split("_")[0]
        rows.append(Row(path.relative_to(folder).as_posix(), path.parent.name, identity, "drawn"))
    about = Note("about", "drawn faces: scores on them say nothing about real people")
    return make_table("sample", folder, rows, [about])


def drawn_folder(cache: Path) -> Path:
    """Returns the sample's folder, drawn into the cache on first use."""

    def draw(folder: Path) -> None:
        draw_sample(folder, num_identities=NUM_IDENTITIES, variants=VARIANTS, seed=_VERSION)

    return make_once(cache / f"sample-{_VERSION}", draw)


def regions_of(paths: Sequence[str]) -> list[tuple[Region, ...]]:
    """Returns where faces of the sample, such as ``anger/p003_1.png``, show their emotion."""
    # drawn again instead of stored: a generator per person makes the same drawings
    people = sorted({int(PurePosixPath(path).name[1:4]) for path in paths})
    known = {
        name: drawing.regions
        for number in people
        for name, drawing in drawings(number, variants=VARIANTS, seed=_VERSION)
    }
    return [known[path] for path in paths]


def draw_sample(folder: Path, *, num_identities: int, variants: int, seed: int) -> None:
    """Draws ``num_identities`` x 7 x ``variants`` PNG files, one subfolder per emotion."""
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True, exist_ok=True)
    for number in range(num_identities):
        for name, drawing in drawings(number, variants=variants, seed=seed):
            drawing.image.save(folder / name)


def drawings(number: int, *, variants: int, seed: int) -> Iterator[tuple[str, Drawing]]:
    """Yields all drawings of one person, each with its path below the folder."""
    generator = np.random.default_rng([seed, number])
    person = Person.random(generator)
    for emotion in EMOTIONS:
        for variant in range(variants):
            drawing = draw_face(person, emotion, generator, SIDE)
            yield f"{emotion}/p{number:03}_{variant}.png", drawing


DATASET = DataSet(
    name="sample",
    load=load,
    recognises=lambda _: False,  # chosen by name only
    layout="nothing: it is drawn",
    where="comes with fer_mlops",
    terms="Apache-2.0, as fer_mlops; no real person is shown.",
)
