"""Data loading: reads, decodes and splits the faces of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_mlops.config import DataConfig, EpochExperiment, Experiment, image_size
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.duplicates import THUMBNAIL, near_duplicate_clusters
from fer_mlops.data.face_identities import identify
from fer_mlops.data.faces import Faces
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.quality.leakage import KnownPeople, find_known_people
from fer_mlops.data.splits import Rows, Split, split_faces
from fer_mlops.data.table import FaceTable, Note
from fer_mlops.errors import DataError
from fer_mlops.images.arrays import CachedImages, Images, take_images
from fer_mlops.progress import Progress, no_progress

_AT_ONCE = 4096  # faces in memory at a time
_DARK = 64  # gray, 0 to 255, below which a face is almost black; 14 bits in a 16-bit file stay below it


@dataclass(frozen=True, kw_only=True)
class Data:
    """Data set of one experiment, decoded and split."""

    table: FaceTable
    split: Split
    clusters: NDArray[np.int64]
    """Equal numbers [n] for near duplicates."""
    parts: Mapping[str, Faces]
    """``train``, ``valid`` and ``test``."""
    cache: Path
    """Folder of decoded faces and of values computed from them."""

    @cached_property
    def known_people(self) -> KnownPeople:
        """Test faces that show people from train."""
        return find_known_people(self.table, self.split)

    def share_of_known_photos(self) -> float:
        """Returns the share of test faces with a near duplicate in train; 0 without test faces."""
        test, train = (self.clusters[rows] for rows in (self.split.test, self.split.train))
        return float(np.isin(test, train).mean()) if len(test) else 0.0

    def digest(self) -> str:
        """Returns 16 hexadecimal digits that change with any path, label, person, file or part."""
        return self.split.digest(self.table)


def load_table(
    config: DataConfig, cache: Path, progress: Progress = no_progress, *, is_strict: bool = True
) -> FaceTable:
    """Returns the faces and identities configured in ``config``.

    Raises:
        DataError: The faces cannot be read.
        ConfigError: Identities by face need dlib, which is not installed.
    """
    table = load_faces(Request(cache=cache, config=config, is_strict=is_strict, progress=progress))
    return identify(table, config.identities, cache, progress)


def read_faces(
    config: DataConfig, side: int, cache: Path, progress: Progress = no_progress
) -> tuple[FaceTable, Images]:
    """Returns the faces configured in ``config`` and their pixels [n, side, side], row for row."""
    return decode_faces(load_table(config, cache, progress), config, side, cache, progress)


def decode_faces(
    table: FaceTable, config: DataConfig, side: int, cache: Path, progress: Progress = no_progress
) -> tuple[FaceTable, Images]:
    """Returns the faces of ``table`` that can be read, and their pixels, as ``read_faces`` does."""
    advance = progress(f"reading faces, {side} x {side} pixels", len(table))
    skip_bad = config.on_bad_image == "skip"
    table, pixels = load_images(table, side, cache, skip_bad=skip_bad, advance=advance)
    return _with_note_of_dark_faces(table, pixels), pixels


def _with_note_of_dark_faces(table: FaceTable, pixels: CachedImages) -> FaceTable:
    """Returns the table, with a note if any faces are almost black."""
    starts = range(0, len(pixels), _AT_ONCE)
    brightest = np.concatenate([pixels[s : s + _AT_ONCE].max(axis=(1, 2)) for s in starts])
    dark = tuple(table.paths[i] for i in np.flatnonzero(brightest < _DARK))
    if not dark:
        return table
    text = (
        f"{len(dark)} of {len(table)} faces are almost black: no pixel reaches {_DARK} of 255; if their "
        "files hold fewer bits than the 16 they have room for, rescale them"
    )
    return replace(table, notes=(*table.notes, Note("almost-black", text, dark)))


def divide_faces(
    table: FaceTable, config: DataConfig, seed: int, cache: Path, progress: Progress = no_progress
) -> Split:
    """Returns the split configured in ``config``; ``identity`` keeps near duplicates in one part."""
    needs_clusters = config.split in ("identity", "given")
    clusters = _clusters(table, cache, progress) if needs_clusters else None
    return split_faces(table, config, seed, clusters)


def _clusters(table: FaceTable, cache: Path, progress: Progress) -> NDArray[np.int64]:
    """Returns equal numbers [n] for near duplicates."""
    # on thumbnails of fixed size, so that models of every image size get the same split
    advance = progress("looking for near duplicates", len(table))
    _, thumbnails = load_images(table, THUMBNAIL, cache, advance=advance)
    return near_duplicate_clusters(thumbnails)


def take_faces(table: FaceTable, pixels: Images, rows: Rows) -> Faces:
    """Returns the faces of these rows."""
    return Faces(
        pixels=take_images(pixels, rows), labels=table.labels[rows], identities=table.identities[rows]
    )


def prepare_data(experiment: Experiment, cache: Path, progress: Progress = no_progress) -> Data:
    """Returns the faces of ``experiment``, decoded and split; raises DataError as ``prepare_each``."""
    return prepare_each([experiment], cache, progress)[0]


def prepare_each(
    experiments: Sequence[Experiment], cache: Path, progress: Progress = no_progress
) -> list[Data]:
    """Returns the data of experiments that differ in their fold only; the faces are read once.

    Raises:
        DataError: The faces cannot be read or divided, or have no votes to be soft labels.
    """
    first = experiments[0]
    table, pixels = read_faces(first.data, image_size(first), cache, progress)
    votes = _soft_labels(table, first)
    clusters = _clusters(table, cache, progress)
    prepared = []
    for experiment in experiments:
        split = split_faces(table, experiment.data, experiment.seed, clusters)
        parts = {name: take_faces(table, pixels, rows) for name, rows in split.parts().items()}
        if votes is not None:
            parts["train"] = replace(parts["train"], targets=votes[split.train])
        prepared.append(Data(table=table, split=split, clusters=clusters, parts=parts, cache=cache))
    return prepared


def _soft_labels(table: FaceTable, experiment: Experiment) -> NDArray[np.float32] | None:
    """Returns the votes [n, 7] if the experiment trains on them, else None."""
    if not isinstance(experiment, EpochExperiment) or not experiment.training.soft_labels:
        return None
    if table.votes is None:
        raise DataError(
            f"training.soft_labels needs votes of several annotators on each face, which {table.name} "
            "does not have; remove the setting, or use a data set with votes, such as ferplus"
        )
    return table.votes
