"""The head of an ensemble: equal to scikit-learn's on standardised features, for any set of emotions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from expert_files import install
from sklearn.linear_model import LogisticRegression
from torch import nn

from fer_mlops.config import EnsembleConfig, EnsembleExperiment
from fer_mlops.data.faces import Faces
from fer_mlops.models.classifier import Classifier
from fer_mlops.training.ensemble import _fit_head
from fer_mlops.training.steps import Step
from fer_mlops.training.train import train_classifier


@pytest.mark.parametrize("known", [(0, 1, 2, 3, 4, 5, 6), (1, 4, 5), (3, 6)])
def test_the_head_gives_the_probabilities_of_the_regression(known: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    labels = generator.choice(known, 200)
    features = (generator.normal(5, 3, (200, 9)) + labels[:, None]).astype(np.float32)
    head = nn.Linear(9, 7)
    _fit_head(head, features, labels, penalty=10.0)
    scaled = (features - features.mean(0)) / features.std(0)
    expected = np.zeros((200, 7))
    expected[:, known] = (
        LogisticRegression(C=0.1, max_iter=1000).fit(scaled, labels).predict_proba(scaled)
    )
    with torch.inference_mode():
        found = head(torch.from_numpy(features)).softmax(1).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)


def faces_of(num: int, seed: int) -> Faces:
    """Faces whose brightness follows their label."""
    labels = np.arange(num) % 7
    noise = np.random.default_rng(seed).integers(0, 30, (num, 48, 48))
    pixels = (noise + 30 * labels[:, None, None]).astype(np.uint8)
    return Faces(pixels=pixels, labels=labels, identities=np.array([f"p{k}" for k in range(num)]))


def test_an_ensemble_trains_and_its_bundle_gives_equal_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    experiment = EnsembleExperiment(ensemble=EnsembleConfig(image_size=48))
    steps: list[Step] = []
    result = train_classifier(
        experiment, faces_of(70, 0), faces_of(28, 1), on_step=steps.append, cache=tmp_path / "cache"
    )
    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert steps[-1].metrics["valid/accuracy"] > 0.5  # by chance .14
    faces = faces_of(14, 2).pixels
    expected = result.classifier.predict_proba(faces)
    result.classifier.save(tmp_path / "bundle")
    loaded = Classifier.load(tmp_path / "bundle")
    np.testing.assert_array_equal(loaded.predict_proba(faces), expected)
    np.testing.assert_allclose(loaded.predict_proba(faces[:, :, ::-1]), expected, atol=1e-5)  # mirrored
