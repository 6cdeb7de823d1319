"""What an experiment asks for, to faces decoded and divided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fer_mlops.config import DataConfig, Experiment, image_size
from fer_mlops.datasets import FaceTable, Request, load_faces
from fer_mlops.duplicates import THUMBNAIL, near_duplicate_clusters
from fer_mlops.learning import Faces
from fer_mlops.pixels import Pixels, load_pixels, take_pixels
from fer_mlops.progress import Begin, begin_silently
from fer_mlops.splits import Rows, Split, split_faces


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set as one experiment sees it."""

    table: FaceTable
    split: Split
    parts: Mapping[str, Faces]
    """``train``, ``valid`` and ``test``."""

    def digest(self) -> str:
        """Returns 16 hexadecimal digits that change with any path, label, person or part."""
        return self.split.digest(self.table)


def read_faces(
    config: DataConfig, side: int, cache: Path, begin: Begin = begin_silently
) -> tuple[FaceTable, Pixels]:
    """Returns the faces that ``config`` names, decoded to ``side`` pixels, row for row.

    Raises:
        DataError: They cannot be read.
    """
    table = load_faces(Request(cache=cache, config=config, begin=begin))
    advance = begin("reading faces", len(table))
    skip_bad = config.on_bad_image == "skip"
    return load_pixels(table, side, cache, skip_bad=skip_bad, advance=advance)


def divide_faces(
    table: FaceTable, config: DataConfig, seed: int, cache: Path, begin: Begin = begin_silently
) -> Split:
    """Returns the split that ``config`` asks for; near duplicates stay in one part of ``identity``.

    Near duplicates are looked for in thumbnails of one size, so that models of any image size have
    the same split.

    Raises:
        DataError: The faces cannot be divided.
    """
    if config.split == "random" or config.split.endswith(".csv"):
        return split_faces(table, config, seed)
    _, thumbnails = load_pixels(
        table, THUMBNAIL, cache, advance=begin("looking for near duplicates", len(table))
    )
    return split_faces(table, config, seed, near_duplicate_clusters(thumbnails))


def take_faces(table: FaceTable, pixels: Pixels, rows: Rows) -> Faces:
    """Returns the faces of these rows."""
    return Faces(
        pixels=take_pixels(pixels, rows), labels=table.labels[rows], identities=table.identities[rows]
    )


def prepare_data(experiment: Experiment, cache: Path, begin: Begin = begin_silently) -> Data:
    """Returns the faces that ``experiment`` asks for, decoded and divided.

    Raises:
        DataError: They cannot be read or divided.
    """
    table, pixels = read_faces(experiment.data, image_size(experiment), cache, begin)
    split = divide_faces(table, experiment.data, experiment.seed, cache, begin)
    parts = {name: take_faces(table, pixels, rows) for name, rows in split.parts().items()}
    return Data(table=table, split=split, parts=parts)
