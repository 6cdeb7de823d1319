"""Faces made worse."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fer_mlops.evaluation.robustness import CORRUPTIONS, SIDE, measure_robustness
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier

NATURAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


def face() -> Image.Image:
    """Returns a bright disc on a dark ground, which every corruption changes."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    return Image.fromarray(np.where(x**2 + y**2 < 40**2, 220, 60).astype(np.uint8))


class BrightIsHappy:
    """Says happiness (3) to a bright face and anger (0) to a dark one."""

    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        is_bright = np.asarray(pixels).mean(axis=(1, 2)) > 100
        return np.eye(7, dtype=np.float32)[np.where(is_bright, 3, 0)] * 9


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_grows_with_its_strength_and_keeps_the_size(name: str) -> None:
    before = np.asarray(face(), np.float64)
    changes = []
    for strength in range(5):
        worse = CORRUPTIONS[name](face(), strength, np.random.default_rng(0))
        assert (worse.size, worse.mode) == ((SIDE, SIDE), "L")
        changes.append(np.abs(np.asarray(worse, np.float64) - before).mean())
    assert changes[0] > 0
    assert changes[0] < changes[-1]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_chance_gives_the_same_face(name: str) -> None:
    first, again = (CORRUPTIONS[name](face(), 2, np.random.default_rng(5)) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_scores_fall_only_where_the_classifier_is_fooled() -> None:
    bright, dark = np.full((SIDE, SIDE), 190, np.uint8), np.full((SIDE, SIDE), 20, np.uint8)
    classifier = Classifier(
        family="baseline", image_size=32, scorer=BrightIsHappy(), calibration=NATURAL
    )
    measured = measure_robustness(classifier, np.stack([bright] * 3 + [dark]), np.array([3, 3, 3, 0]))
    assert measured.clean == 1.0
    assert measured.curves["dark"].accuracy == (1.0, 1.0, 1.0, 1.0, 0.25, 0.25)  # 190 - 102 < 100
    assert measured.curves["dark"].balanced_accuracy == (1.0, 1.0, 1.0, 1.0, 0.5, 0.5)
    assert measured.curves["blur"].balanced_accuracy == (1.0,) * 6
    assert np.mean(measured.curves["dark"].balanced_accuracy[1:]) == pytest.approx(0.8)
    assert measured.as_dict()["num_faces"] == 4
    assert measured.mean < 1
