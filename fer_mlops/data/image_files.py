"""Images to explain: files, folders, or the drawn sample with its known emotion regions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.datasets import sample
from fer_mlops.data.datasets.folder import find_images as images_below
from fer_mlops.data.datasets.synthetic_faces import Region
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.metrics.classification import Labels

SAMPLE = "sample"  # name of the drawn sample, as in `--data`


@dataclass(frozen=True)
class FaceImages:
    """Image files with one face each."""

    paths: tuple[Path, ...]
    drawn_below: Path | None
    """Folder of the drawn sample if all images are from it, else None."""

    def regions(self, rows: NDArray[np.int64], emotions: Labels) -> list[tuple[Region, ...]]:
        """Returns the regions in which faces of the sample show these emotions [k]; empty for a face
        that shows another emotion."""
        assert self.drawn_below
        paths = [self.paths[row].relative_to(self.drawn_below).as_posix() for row in rows]
        drawn = zip(paths, sample.regions_of(paths), emotions, strict=True)
        return [known if path.startswith(f"{EMOTIONS[e]}/") else () for path, known, e in drawn]


def find_images(paths: list[Path], cache: Path) -> FaceImages:
    """Returns the image files in ``paths`` and below its folders; ``sample`` means the drawn sample.

    Raises DataError if a path does not exist, or no image is found.
    """
    found: list[Path] = []
    drawn = None
    for path in paths:
        if path.is_file():
            found.append(path)
            continue
        folder = path
        if not path.is_dir():
            if str(path) != SAMPLE:
                raise DataError(f"no image or folder at {str(path)!r}")
            folder = drawn = sample.drawn_folder(cache)
        found += [folder / image for image in images_below(folder)]
    if not found:
        raise DataError(f"no image below {', '.join(map(str, paths))}")
    return FaceImages(tuple(found), drawn if len(paths) == 1 else None)
