"""Every family's default recipe on a handful of faces."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tiny

from fer_mlops.config import HogSvmConfig
from fer_mlops.config.recipes import build_experiment
from fer_mlops.data.faces import Faces
from fer_mlops.models.hog_svm_fit import can_calibrate
from fer_mlops.progress import no_progress
from fer_mlops.training.steps import Step
from fer_mlops.training.train import train_classifier


def drawn(labels: np.ndarray, seed: int = 0) -> Faces:
    """Returns faces of 48 pixels that are brighter at the height that tells the emotion."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 120, (len(labels), 48, 48), dtype=np.uint8)
    for face, label in zip(pixels, labels, strict=True):
        face[6 * label : 6 * label + 6] += 130
    return Faces(
        pixels=pixels, labels=labels, identities=np.array([f"p{i}" for i in range(len(labels))])
    )


def even(num: int) -> np.ndarray:
    return np.arange(num) % 7


@pytest.mark.parametrize(
    "labels",
    [
        *(even(num) for num in (7, 14, 21, 30, 35, 49, 50, 105)),
        np.array([3] * 54 + [5] * 6),
        np.array([3] * 59 + [5]),
        np.array([3] * 2 + [5]),
        np.array([3] * 40 + [0, 1, 2]),
    ],
    ids=lambda labels: "-".join(map(str, np.bincount(labels, minlength=7))),
)
def test_the_baseline_s_default_recipe_learns_from_few_faces(labels: np.ndarray, tmp_path: Path) -> None:
    experiment = build_experiment("baseline", settings={})
    assert experiment.hog_svm.fractions == HogSvmConfig().fractions
    small = dataclasses.replace(experiment.hog_svm, cells=(8,))
    steps: list[Step] = []
    learned = train_classifier(
        dataclasses.replace(experiment, hog_svm=small),
        drawn(labels),
        drawn(np.unique(labels), seed=1),
        on_step=steps.append,
        progress=no_progress,
        cache=tmp_path,
    )
    assert steps[-1].metrics["train/faces"] == len(labels)
    probabilities = learned.classifier.predict_proba(drawn(labels, seed=2).pixels)
    assert np.isfinite(probabilities).all()
    commonest = (np.bincount(labels) / len(labels)).max()
    assert (probabilities.argmax(1) == labels).mean() >= min(commonest, 0.9)


def test_a_machine_is_calibrated_only_where_every_fold_keeps_two_emotions() -> None:
    assert can_calibrate(np.array([0] * 3 + [3] * 3))
    assert not can_calibrate(np.array([0] * 2 + [3] * 50))
    assert not can_calibrate(even(14))
    assert can_calibrate(even(17))


def test_the_baseline_learns_from_pictures_that_are_all_alike(tmp_path: Path) -> None:
    experiment = build_experiment("baseline", settings={})
    labels = even(21)
    faces = dataclasses.replace(drawn(labels), pixels=np.full((21, 48, 48), 90, np.uint8))
    learned = train_classifier(experiment, faces, faces, on_step=lambda _: None, cache=tmp_path)
    assert np.isfinite(learned.classifier.predict_proba(faces.pixels)).all()


@pytest.mark.parametrize("family", ["cnn", "transfer"])
@pytest.mark.parametrize("num", [7, 9])
def test_networks_learn_from_few_faces(family: str, num: int, tmp_path: Path) -> None:
    experiment = build_experiment(family, settings=tiny.SETTINGS[family])
    faces = drawn(even(num))
    faces = dataclasses.replace(faces, pixels=np.ascontiguousarray(faces.pixels[:, :32, :32]))
    learned = train_classifier(experiment, faces, faces, on_step=lambda _: None, cache=tmp_path)
    assert np.isfinite(learned.classifier.predict_proba(faces.pixels)).all()
