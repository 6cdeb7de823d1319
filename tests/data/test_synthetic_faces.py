"""A drawn face knows where its emotion was put."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from fer_mlops.data.datasets import sample, synthetic_faces
from fer_mlops.data.datasets.synthetic_faces import (
    ACTION_UNITS,
    FEATURES,
    Drawing,
    Person,
    Region,
    region_mask,
)
from fer_mlops.emotions import EMOTIONS

SIDE = 96


def draw(emotion: str, number: int) -> Drawing:
    generator = np.random.default_rng(number)
    return synthetic_faces.draw_face(Person.random(generator), emotion, generator, SIDE)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_what_an_emotion_changes_lies_in_its_regions(
    emotion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = [draw(emotion, number) for number in range(8)]
    intensity = synthetic_faces._intensity
    monkeypatch.setattr(synthetic_faces, "_intensity", lambda generator: 0 * intensity(generator))
    for number, one in enumerate(shown):
        rest = draw(emotion, number)  # the same person, light and camera
        assert rest.regions == ()
        difference = np.abs(np.asarray(one.image, float) - np.asarray(rest.image, float)).max(2)
        inside = region_mask(one.regions, SIDE)
        assert difference[~inside].max() <= 3  # a blur's last trace
        assert (difference[inside].max(initial=0) > 20) == bool(one.regions)
        assert inside.mean() < 0.3


def test_regions_are_those_of_the_units_that_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_faces, "_intensity", lambda _: 0.7)
    named = {emotion: {r.feature for r in draw(emotion, 1).regions} for emotion in EMOTIONS}
    eyes, brows = {"left eye", "right eye"}, {"left brow", "right brow"}
    assert named["neutral"] == set()
    assert named["happiness"] == eyes | {"mouth"}
    assert named["sadness"] == brows | {"mouth"}
    assert named["disgust"] == eyes | brows | {"nose", "mouth"}
    left, right = (
        next(r.corners[0][0] for r in draw("fear", 1).regions if r.feature == f"{side} eye")
        for side in ("left", "right")
    )
    assert left < right


def test_every_action_unit_has_its_feature() -> None:
    units = {unit for units in ACTION_UNITS.values() for unit in units}
    assert units == frozenset().union(*FEATURES.values())


def test_a_region_turns_and_grows_with_the_picture() -> None:
    lens = synthetic_faces._Lens(degrees=90, crop=0.25)
    ((x, y),) = lens.place([(0.5, 0.4)])  # a tenth above the middle
    assert (x, y) == (pytest.approx(0.3), pytest.approx(0.5))  # counterclockwise: left, twice as far
    turned = Image.new("L", (41, 41))
    turned.putpixel((20, 12), 255)
    turned = turned.rotate(30)
    place = synthetic_faces._Lens(30, 0).place([(20.5 / 41, 12.5 / 41)])[0]
    row, column = np.unravel_index(np.asarray(turned).argmax(), (41, 41))
    assert math.dist((column + 0.5, row + 0.5), (place[0] * 41, place[1] * 41)) < 1


def test_a_mask_holds_the_pixels_of_its_regions() -> None:
    square = Region("mouth", ((0.25, 0.5), (0.5, 0.5), (0.5, 0.75), (0.25, 0.75)))
    expected = np.zeros((8, 8), bool)
    expected[4:6, 2:4] = True
    np.testing.assert_array_equal(region_mask([square], 8), expected)
    assert not region_mask([], 8).any()


def test_the_sample_is_drawn_again_for_its_regions() -> None:
    paths = ["happiness/p003_1.png", "neutral/p001_0.png", "anger/p001_0.png"]
    regions = sample.regions_of(paths)
    again = dict(sample.drawings(3, variants=sample.VARIANTS, seed=sample._VERSION))
    assert regions[0] == again[paths[0]].regions
    assert regions[1] == ()
    assert regions[2] != ()
