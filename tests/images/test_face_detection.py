"""Faces in whole photos: cut out where they are, upright, or none."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from fer_mlops.errors import ConfigError
from fer_mlops.images.face_detection import FaceFinder, _cut, _framed


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder()


@pytest.fixture(scope="module")
def astronaut() -> Image.Image:
    """A photo of one face, whose middle is near (224, 112)."""
    return Image.fromarray(data.astronaut()).convert("L")


def holds(box: tuple[int, int, int, int], point: tuple[float, float]) -> bool:
    left, top, right, bottom = box
    return left < point[0] < right and top < point[1] < bottom


@pytest.mark.parametrize("side", [256, 512, 1500, 3000])
def test_a_face_is_found_at_any_size(finder: FaceFinder, astronaut: Image.Image, side: int) -> None:
    photo = astronaut.resize((side, side), Image.Resampling.BICUBIC)
    (found,) = finder.find(photo)
    scale = side / 512
    assert holds(found.box, (224 * scale, 112 * scale))
    assert 0.15 < (found.box[2] - found.box[0]) / side < 0.3
    assert found.crop.size == (found.box[2] - found.box[0], found.box[3] - found.box[1])
    assert found.crop.size[0] == found.crop.size[1]


def test_faces_come_from_left_to_right(finder: FaceFinder, astronaut: Image.Image) -> None:
    face = astronaut.crop((130, 20, 330, 220))
    photo = Image.new("L", (800, 300), 128)
    for left in (500, 40, 270):
        photo.paste(face, (left, 50))
    found = finder.find(photo)
    assert [one.box[0] for one in found] == sorted(one.box[0] for one in found)
    assert len(found) == 3
    first = np.asarray(found[0].crop, np.int16)
    left, top, right, bottom = found[0].box
    np.testing.assert_array_equal(first, np.asarray(photo)[top:bottom, left:right])


@pytest.mark.parametrize("degrees", [-25, 25])
def test_a_tilted_face_is_brought_upright(
    finder: FaceFinder, astronaut: Image.Image, degrees: int
) -> None:
    (upright,) = finder.find(astronaut)
    # the suit below the face would be another in a turned photo
    tilted = astronaut.rotate(degrees, Image.Resampling.BICUBIC, center=(224, 112))
    found = next(one for one in finder.find(tilted) if holds(one.box, (224, 112)))
    left, top, right, bottom = found.box
    as_it_lies = tilted.crop((left, top, right, bottom))

    def likeness(face: Image.Image) -> float:
        one, other = (np.asarray(f.resize((32, 32)), float).ravel() for f in (face, upright.crop))
        return float(np.corrcoef(one, other)[0, 1])

    assert likeness(found.crop) > likeness(as_it_lies) + 0.1


def test_a_photo_without_faces_has_none(finder: FaceFinder) -> None:
    assert finder.find(Image.fromarray(data.coffee()).convert("L")) == []
    assert finder.find(Image.new("L", (1, 1))) == []
    assert finder.find(Image.new("L", (3000, 2))) == []


def test_the_frame_is_a_square_raised_above_the_found_one() -> None:
    assert _framed(200, 300, 100, 0.0, scale=2.0) == (98, 144, 153, 199)


def test_beyond_the_edge_the_edge_goes_on() -> None:
    photo = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    np.testing.assert_array_equal(np.asarray(_cut(photo, (-1, -1, 1, 1), 0.0)), [[0, 0], [0, 0]])
    np.testing.assert_array_equal(np.asarray(_cut(photo, (2, 1, 5, 4), 0.0))[:, 0], [6, 10, 10])


def test_without_dlib_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(ConfigError, match=r"pip install 'fer-mlops\[face\]'"):
        FaceFinder()
