"""Ensemble: its head equals scikit-learn's, its networks resume, and its parts are fused by weight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from expert_files import install
from sklearn.linear_model import LogisticRegression
from torch import nn

from fer_mlops.config import EnsembleConfig, EnsembleExperiment, TrainingConfig
from fer_mlops.data.faces import Faces
from fer_mlops.errors import ConfigError
from fer_mlops.evaluation.explanation import explain
from fer_mlops.models.calibration import log_softmax
from fer_mlops.models.classifier import Classifier
from fer_mlops.models.ensemble import build_ensemble
from fer_mlops.training.ensemble import _fit_head, _fuse, _shrunk
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
    steps: list[Step] = []
    result = train_classifier(
        tiny_ensemble(), faces_of(70, 0), faces_of(28, 1), on_step=steps.append, cache=tmp_path
    )
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert [step.name for step in steps][:3] == [
        "head of the experts",
        "network 1/2, epoch 1/2",
        "network 1/2, epoch 2/2",
    ]
    assert all(step.metrics["valid/accuracy"] > 0.5 for step in steps)  # by chance .14
    assert [step.metrics["train/phase"] for step in steps] == [1, 2, 2, 2, 2]
    explain(steps[-1].classifier, faces_of(2, 3).pixels, np.array([0, 1]))
    network = result.classifier.scorer.network  # type: ignore[attr-defined]
    assert network.network_share < 0.1  # two epochs teach less than the head knows
    assert network.network_bias.any()  # that of the loss
    faces = faces_of(14, 2).pixels
    expected = result.classifier.predict_proba(faces)
    result.classifier.save(tmp_path / "bundle")
    loaded = Classifier.load(tmp_path / "bundle")
    np.testing.assert_array_equal(loaded.predict_proba(faces), expected)
    np.testing.assert_allclose(loaded.predict_proba(faces[:, :, ::-1]), expected, atol=1e-5)  # mirrored


def tiny_ensemble() -> EnsembleExperiment:
    training = TrainingConfig(epochs=2, learning_rate=0.01, keep_weights="last")
    config = EnsembleConfig(image_size=48, experts=("mini_xception",), networks=2, network_image_size=24)
    return EnsembleExperiment(ensemble=config, training=training)


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_a_resumed_ensemble_has_the_weights_of_one_that_was_never_stopped(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    parts, states, after = (faces_of(70, 0), faces_of(28, 1)), [], []

    def keep(step: Step) -> None:
        assert step.state
        states.append(step.state())

    whole = train_classifier(tiny_ensemble(), *parts, on_step=keep, cache=tmp_path)
    resumed = train_classifier(
        tiny_ensemble(),
        *parts,
        on_step=lambda step: after.append(step.number),
        cache=tmp_path,
        resume_from=states[kept - 1],
    )
    assert after == list(range(kept + 1, 6))
    faces = faces_of(14, 2).pixels
    expected = whole.classifier.predict_proba(faces)
    np.testing.assert_array_equal(resumed.classifier.predict_proba(faces), expected)


def test_the_fused_logits_are_a_weighted_sum_of_log_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch)
    ensemble = build_ensemble(tiny_ensemble().ensemble, 7)
    ensemble.network_bias.copy_(torch.linspace(-1, 1, 7))
    ensemble.network_share.fill_(0.25)
    head, *networks = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
    logs = [(one + ensemble.network_bias).softmax(1).log() for one in networks]
    expected = 0.75 * head.softmax(1).log() + 0.25 * (logs[0] + logs[1]) / 2
    torch.testing.assert_close(ensemble.fused(head, networks), expected)


def test_the_share_is_that_of_the_part_that_knows_the_answers() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 300)
    knows = log_softmax(5.0 * np.eye(7)[labels] + generator.normal(0, 1, (300, 7)))
    guesses = log_softmax(generator.normal(0, 3, (300, 7)))
    assert _fuse(knows, [guesses], labels)[1] < 0.1
    fused, share = _fuse(guesses, [guesses, knows], labels)
    assert share > 0.9
    expected = log_softmax(guesses + share * (knows - guesses) / 2)
    np.testing.assert_allclose(fused, expected)
    assert _fuse(guesses, [], labels) == (guesses, 0.0)


def test_a_face_is_made_smaller_by_the_mean_of_its_squares() -> None:
    faces = faces_of(3, 0)
    small = _shrunk(faces, 24)
    expected = faces.pixels[:, :2, :2].mean((1, 2)).round()
    np.testing.assert_array_equal(small.pixels[:, 0, 0], expected)
    assert small.pixels.shape == (3, 24, 24)
    np.testing.assert_array_equal(small.labels, faces.labels)


def test_experts_alone_take_faces_of_any_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)
    config = EnsembleConfig(image_size=48, experts=("mini_xception",), networks=0)
    steps: list[Step] = []
    result = train_classifier(
        EnsembleExperiment(ensemble=config),
        faces_of(70, 0),
        faces_of(28, 1),
        on_step=steps.append,
        cache=tmp_path,
    )
    assert [step.name for step in steps] == ["head of the experts"]
    faces = faces_of(14, 2)
    assert (result.classifier.predict_proba(faces.pixels).argmax(1) == faces.labels).mean() > 0.5


def test_sides_that_do_not_divide_and_a_teacher_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"network_image_size must be a divisor of .* 100, got 56"):
        EnsembleConfig(image_size=100)
    with pytest.raises(ConfigError, match="must be empty for ensemble; only cnn takes a teacher"):
        EnsembleExperiment(training=TrainingConfig(teacher="models:/x/1"))
