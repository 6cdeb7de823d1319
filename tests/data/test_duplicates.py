"""Photos that show the same moment."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fer_mlops.data.datasets.synthetic_faces import Person, draw_face
from fer_mlops.data.duplicates import THUMBNAIL, join, near_duplicate_clusters, near_duplicate_pairs
from fer_mlops.emotions import EMOTIONS

Thumbnails = NDArray[np.uint8]


def drawn(num_people: int) -> Thumbnails:
    """Returns seven drawn faces of each person, gray, at the size that is compared."""
    generator = np.random.default_rng(0)
    people = [Person.random(generator) for _ in range(num_people)]
    return np.stack(
        [
            np.asarray(
                draw_face(person, emotion, generator, 96).image.convert("L").resize((THUMBNAIL,) * 2)
            )
            for person in people
            for emotion in EMOTIONS
        ]
    )


def changed(face: Thumbnails, how: str) -> Thumbnails:
    image = Image.fromarray(face).resize((96, 96), Image.Resampling.BICUBIC)
    match how:
        case "smaller":
            image = image.resize((40, 40))
        case "brighter":
            image = image.point(lambda v: min(255, int(v * 1.2) + 10))
        case "cropped":
            image = image.crop((1, 1, 95, 95))
        case "mirrored":
            image = ImageOps.mirror(image)
        case "mirrored and smaller":
            image = ImageOps.mirror(image).resize((40, 40))
    return np.asarray(image.resize((THUMBNAIL,) * 2))


def test_faces_of_different_moments_are_no_near_duplicates() -> None:
    assert near_duplicate_pairs(drawn(40)).tolist() == []


@pytest.mark.parametrize(
    "how", ["same", "smaller", "brighter", "cropped", "mirrored", "mirrored and smaller"]
)
def test_one_photo_twice_is_found_among_many(how: str) -> None:
    faces = drawn(20)
    copies = np.stack([changed(face, how) for face in faces[[3, 50, 99]]])
    n = len(faces)
    pairs = near_duplicate_pairs(np.concatenate([faces, copies]))
    assert pairs.tolist() == [[3, n], [50, n + 1], [99, n + 2]]


def test_near_duplicates_and_theirs_form_one_cluster() -> None:
    faces = drawn(5)
    clusters = near_duplicate_clusters(np.concatenate([faces, faces[[4]], faces[[4]], faces[[9]]]))
    assert len(set(clusters.tolist())) == len(faces)
    assert clusters[4] == clusters[len(faces)] == clusters[len(faces) + 1]
    assert clusters[9] == clusters[-1] != clusters[4]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_handful_of_faces_is_no_trouble(n: int) -> None:
    assert near_duplicate_clusters(drawn(1)[:n]).tolist() == list(range(n))


def test_flat_faces_are_not_called_alike() -> None:
    flat = np.stack([np.full((THUMBNAIL, THUMBNAIL), shade, np.uint8) for shade in range(10)])
    assert near_duplicate_pairs(flat).tolist() == []


def test_rows_that_edges_join_are_one_component() -> None:
    edges = np.array([[0, 2], [3, 4]]), np.array([[2, 5]])
    joined = join(6, *edges)
    assert len(set(joined.tolist())) == 3
    assert joined[0] == joined[2] == joined[5]
    assert joined[3] == joined[4]
