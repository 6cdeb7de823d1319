"""How well faces tell who is in the picture: precision and recall of links against the names.

    python benchmarks/identities.py faces/ [--distances .42,.44,.46]

A pair of photos is linked when both are in one group; it is right when both have one name. Every pair
of the data set counts. Names that are wrong count against precision.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.face_identities import LINKED, embed_faces, link_faces
from fer_mlops.files import cache_folder
from fer_mlops.metrics.identities import is_named


def num_pairs(groups: NDArray[np.int64]) -> int:
    sizes = np.unique(groups, return_counts=True)[1].astype(np.int64)
    return int((sizes * (sizes - 1) // 2).sum())


@click.command()
@click.argument("faces")
@click.option("--distances", default=f"{LINKED - 0.02:.2f},{LINKED},{LINKED + 0.02:.2f}")
@click.option("--cache", type=Path, default=None)
def main(faces: str, distances: str, cache: Path | None) -> None:
    table = load_faces(
        Request(cache=cache_folder(), config=DataConfig(source=faces, on_bad_image="skip"))
    )
    begun = time.perf_counter()
    embeddings = embed_faces(table, cache or cache_folder())
    took = time.perf_counter() - begun
    print(f"{len(table)} faces in {took:.1f} s, {1000 * took / len(table):.1f} s per 1,000")
    rows = np.flatnonzero(is_named(table.identities))
    people = np.unique(table.identities[rows], return_inverse=True)[1]
    has_face = np.isfinite(embeddings[rows]).all(1)
    print(f"{len(rows)} named, {people.max() + 1} people; a face found in {has_face.mean():.1%}")
    print(f"{num_pairs(np.arange(len(rows)) * 0):,} pairs, {num_pairs(people):,} of one person")
    for distance in map(float, distances.split(",")):
        begun = time.perf_counter()
        groups = link_faces(embeddings[rows], distance)
        took = time.perf_counter() - begun
        alone = np.where(groups < 0, groups.max() + 1 + np.arange(len(rows)), groups)
        linked, right = num_pairs(alone), num_pairs(alone * (people.max() + 1) + people)
        recall, own = right / num_pairs(people), num_pairs(people[has_face])
        print(
            f"distance {distance:.2f}: precision {right / max(linked, 1):.4f} "
            f"({linked - right} false of {linked:,}), recall {recall:.3f} "
            f"({right / own:.3f} where faces were found), {took:.1f} s"
        )


if __name__ == "__main__":
    main()
