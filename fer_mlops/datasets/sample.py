"""The drawn sample: 70 identities x 7 emotions x 2 drawings, for tests and first runs.

It is no photo of anyone and no measure of anything: it shows that the whole road works.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np

from fer_mlops.datasets.drawing import Person, draw_face
from fer_mlops.datasets.table import FaceTable, Row, make_table
from fer_mlops.emotions import EMOTIONS

NUM_IDENTITIES = 70
VARIANTS = 2
SIDE = 96
"""Side of a drawn face, in pixels."""
_VERSION = 1


def load(cache: Path) -> FaceTable:
    """Returns the sample, drawn into ``cache`` on first use.

    The folder appears whole or not at all: it is drawn aside and renamed.
    """
    folder = cache / f"sample-{_VERSION}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=cache, prefix="sample-"))
        try:
            draw_sample(aside, num_identities=NUM_IDENTITIES, variants=VARIANTS, seed=_VERSION)
            try:
                aside.rename(folder)
            except OSError:
                if not folder.is_dir():  # else another process was first, with the same faces
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    rows = []
    for path in sorted(folder.glob("*/*.png")):
        identity = path.stem.split("_")[0]
        rows.append(Row(path.relative_to(folder).as_posix(), path.parent.name, identity, "drawn"))
    return make_table("sample", folder, rows, ["drawn faces: scores on them say nothing of people"])


def draw_sample(folder: Path, *, num_identities: int, variants: int, seed: int) -> None:
    """Draws ``num_identities`` x 7 x ``variants`` PNG files, one subfolder per emotion."""
    for emotion in EMOTIONS:
        (folder / emotion).mkdir(parents=True, exist_ok=True)
    for number in range(num_identities):
        generator = np.random.default_rng([seed, number])
        person = Person.random(generator)
        for emotion in EMOTIONS:
            for variant in range(variants):
                name = f"p{number:03}_{variant}.png"
                draw_face(person, emotion, generator, SIDE).save(folder / emotion / name)
