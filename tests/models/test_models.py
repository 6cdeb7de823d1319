"""Every row of MODELS and BACKBONES keeps the same contract."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import nn

from fer_mlops.config import (
    Architecture,
    CnnConfig,
    EnsembleConfig,
    HogSvmConfig,
    TrainingConfig,
    TransferConfig,
)
from fer_mlops.errors import ConfigError, WeightsError
from fer_mlops.models import MODELS, build_network, transfer
from fer_mlops.models.backbones import BACKBONES
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.efficientnet_lite import EfficientNetLite0, load_published_weights
from fer_mlops.models.hog import hog_vectors
from fer_mlops.models.hog_svm import HogSvm
from fer_mlops.models.hog_svm_fit import _fit_machine, fit_hog_svm
from fer_mlops.models.transfer import TransferNetwork, build_pretrained
from fer_mlops.models.weights import read_state_dict
from fer_mlops.training.examples import Examples
from fer_mlops.training.loop import fit
from fer_mlops.training.losses import cross_entropy

CONFIGS: dict[str, Architecture] = {
    "cnn": CnnConfig(image_size=32, widths=(8, 16), depths=(1, 2), hidden=16, dropout=0.0),
    "transfer": TransferConfig(image_size=32, backbone="resnet18", dropout=0.0),
    "ensemble": EnsembleConfig(image_size=32, network_image_size=16),
}
NEUTRAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


def one_batch(side: int) -> Examples:
    """Seven faces, one per emotion, each with its own bright row."""
    faces = np.full((14, side, side), 60, np.uint8)
    for number in range(14):
        faces[number, 4 * (number % 7) : 4 * (number % 7) + 4] = 220
    return Examples(faces, torch.arange(14) % 7)


@pytest.mark.parametrize("name", ["cnn", "transfer"])  # the experts of an ensemble are not trained
def test_every_model_learns_one_batch(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, CONFIGS[name], 7)
    batch = one_batch(32)
    epochs, rate = {"cnn": (40, 0.01), "transfer": (10, 0.001)}[name]
    quick = TrainingConfig(
        epochs=epochs, batch_size=14, learning_rate=rate, schedule="one_cycle", patience=epochs
    )
    loss = cross_entropy(torch.full((7,), 2), 0.0)
    history = fit(network, batch, batch, loss, quick, seed=0)
    assert history[-1].train_loss < 0.5 * history[0].train_loss


@pytest.mark.parametrize("name", MODELS)
def test_every_model_saves_and_loads_to_equal_probabilities(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    scorer = NetworkScorer(build_network(name, CONFIGS[name], 7), CONFIGS[name])
    classifier = Classifier(family=name, image_size=32, scorer=scorer, calibration=NEUTRAL)
    classifier.save(tmp_path)
    faces = np.random.default_rng(0).integers(0, 255, (5, 32, 32)).astype(np.uint8)
    expected = classifier.predict_proba(faces)
    np.testing.assert_array_equal(Classifier.load(tmp_path).predict_proba(faces), expected)
    assert {file.name for file in tmp_path.iterdir()} == {"classifier.json", "weights.pt"}


def test_a_bundle_from_before_thresholds_loads_and_is_sure_of_everything(tmp_path: Path) -> None:
    scorer = NetworkScorer(build_network("cnn", CONFIGS["cnn"], 7), CONFIGS["cnn"])
    Classifier(family="cnn", image_size=32, scorer=scorer, calibration=NEUTRAL).save(tmp_path)
    card = json.loads((tmp_path / "classifier.json").read_text())
    for name in ("threshold", "natural_threshold", "balanced_threshold"):
        del card["calibration"][name]
    (tmp_path / "classifier.json").write_text(json.dumps(card))
    calibration = Classifier.load(tmp_path).calibration
    assert calibration.is_sure(np.full((2, 7), 1 / 7)).tolist() == [True, True]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_a_loaded_network_takes_any_number_of_faces(name: str, count: int, tmp_path: Path) -> None:
    scorer = NetworkScorer(build_network(name, CONFIGS[name], 7), CONFIGS[name])
    Classifier(family=name, image_size=32, scorer=scorer, calibration=NEUTRAL).save(tmp_path)
    faces = np.zeros((count, 32, 32), np.uint8)
    assert Classifier.load(tmp_path).predict_proba(faces).shape == (count, 7)


@pytest.mark.parametrize("name", BACKBONES)
def test_the_explained_layer_of_a_backbone_has_stride_16(name: str) -> None:
    network = TransferNetwork(name, TransferConfig(backbone=name), 7).eval()
    shapes: list[tuple[int, ...]] = []
    network.explained_layer.register_forward_hook(lambda *args: shapes.append(args[2].shape))
    with torch.inference_mode():
        network(torch.rand(1, 1, 96, 96))
    side = 5 if name == "dlib_face" else 6  # dlib does not pad where it halves
    assert [shape[2:] for shape in shapes] == [(side, side)]


def test_the_course_network_has_its_423_thousand_parameters() -> None:
    count = sum(p.numel() for p in build_network("cnn", CnnConfig(), 7).parameters())
    assert 420_000 < count < 426_000


def test_resnet18_takes_a_local_state_dict_in_torchvisions_format(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    published = resnet18(weights=None)
    torch.save(published.state_dict(), tmp_path / "resnet18.pth")
    config = TransferConfig(backbone="resnet18", weights=str(tmp_path / "resnet18.pth"))
    network, origin = build_pretrained(config, 7)
    assert origin.backbone == "resnet18"
    faces = torch.rand(2, 3, 64, 64)
    published.fc = torch.nn.Identity()  # type: ignore[assignment]
    with torch.inference_mode():
        ours = network.eval().features(faces).mean(dim=(2, 3))
        torch.testing.assert_close(ours, published.eval()(faces), atol=1e-5, rtol=1e-5)


def test_auto_falls_back_on_the_installed_weights_and_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(transfer, "has_published_weights", lambda: False)
    network, origin = build_pretrained(TransferConfig(), 7)
    assert origin.backbone == "efficientnet_lite0"
    assert "ImageNet weights are unavailable" in origin.reason
    assert "dlib_face's weights are not installed" in origin.reason
    stem = network.features[0][0].weight  # type: ignore[index, union-attr]
    assert float(stem.detach().std()) > 0.1, "random weights would be smaller"


def test_auto_prefers_the_face_network_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("dlib_face", "resnet18"):
        stored = dataclasses.replace(BACKBONES[name], fetch=dict, fill=lambda *_: None)
        monkeypatch.setitem(BACKBONES, name, stored)

    def chosen(**settings: object) -> str:
        _, origin = build_pretrained(TransferConfig(**settings), 7)  # type: ignore[arg-type]
        return f"{origin.backbone}: {origin.reason}"

    monkeypatch.setattr(transfer, "has_published_weights", lambda: True)
    installed = "dlib_face: it was pretrained on faces, and its weights are installed"
    assert chosen() == installed
    assert chosen(image_size=64) == installed
    available = "resnet18: its ImageNet weights are available"
    assert chosen(image_size=48) == f"{available}; faces of 48 pixels are too small for dlib_face"
    monkeypatch.setattr(transfer, "has_published_weights", lambda: False)
    assert chosen() == f"{available}; dlib_face's weights are not installed"


def test_an_explicit_resnet18_whose_weights_cannot_be_had_stops_with_the_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"--weights PATH.*--backbone efficientnet_lite0.*--weights none"
    ):
        build_pretrained(TransferConfig(backbone="resnet18"), 7)


def test_random_weights_must_be_asked_for() -> None:
    _, origin = build_pretrained(TransferConfig(weights="none"), 7)
    assert (origin.backbone, origin.weights) == ("resnet18", "none")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no weights at all", "cannot read weights"),
        (None, "cannot read weights"),
        ({"layer": torch.zeros(3)}, "not resnet18 weights"),
        ([1, 2], "is not a state dict"),
    ],
)
def test_a_wrong_weights_file_is_refused_in_a_sentence(
    content: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=message):
        build_pretrained(TransferConfig(backbone="resnet18", weights=str(path)), 7)


def test_an_unknown_backbone_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"'zzz' is unknown\. Known are auto, resnet18, efficientnet_lite0"
    ):
        build_pretrained(TransferConfig(backbone="zzz"), 7)


def test_efficientnet_refuses_weights_of_another_network() -> None:
    with pytest.raises(WeightsError, match="not EfficientNet-Lite0"):
        load_published_weights(EfficientNetLite0(), {"a": torch.zeros(1)})
    own = EfficientNetLite0().state_dict()
    first = next(iter(own))
    with pytest.raises(WeightsError, match=first):
        load_published_weights(EfficientNetLite0(), {**own, first: torch.zeros(1)})


def test_frozen_batch_norms_keep_their_statistics_in_training() -> None:
    network = TransferNetwork("resnet18", TransferConfig(backbone="resnet18"), 7).train()
    before = network.features[1].running_mean.clone()  # type: ignore[union-attr, operator]
    network(torch.rand(4, 1, 32, 32))
    torch.testing.assert_close(network.features[1].running_mean, before)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_baseline_decides_as_scikit_learns_svc(classes: int, generator: np.random.Generator) -> None:
    labels = np.arange(60) % classes
    vectors = generator.normal(labels[:, None], 2.0, (60, 12)).astype(np.float32)
    config = HogSvmConfig(components=5)
    machine = _fit_machine(vectors, labels, config, 0)
    points = (vectors - machine.mean) @ machine.axes.T
    svc = SVC(C=config.c, gamma=float(machine.gamma)).fit(points, labels)
    expected = svc.decision_function(points)
    ours = machine.decide(vectors)
    if classes == 2:
        np.testing.assert_array_equal(ours.argmax(1), (expected > 0).astype(int))
    else:
        np.testing.assert_allclose(ours, expected, atol=1e-8)


def test_the_baseline_saves_and_loads_to_equal_logits(
    tmp_path: Path, generator: np.random.Generator
) -> None:
    labels = np.arange(42) % 7
    config = HogSvmConfig(image_size=32, cells=(8,), components=5)
    faces = generator.integers(0, 255, (42, 32, 32)).astype(np.uint8)
    vectors = hog_vectors(faces, cells=config.cells, orientations=config.orientations)
    baseline = fit_hog_svm(vectors, labels, config, 0)
    baseline.save(tmp_path / "svm.npz")
    loaded = HogSvm.load(tmp_path / "svm.npz", 32)
    np.testing.assert_array_equal(loaded.logits_of_vectors(vectors), baseline.logits_of_vectors(vectors))


def test_the_baseline_gives_an_emotion_it_never_saw_no_chance(generator: np.random.Generator) -> None:
    labels = np.array([0, 3] * 15)
    vectors = generator.normal(labels[:, None], 0.5, (30, 6)).astype(np.float32)
    logits = fit_hog_svm(vectors, labels, HogSvmConfig(components=3), 0).logits_of_vectors(vectors)
    assert (logits.argmax(1) == labels).mean() > 0.9
    assert (logits[:, [1, 2, 4, 5, 6]] == -30).all()


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_read_state_dict_runs_no_code(tmp_path: Path) -> None:
    torch.save({"weight": Trap(tmp_path / "trapped")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError):
        read_state_dict(tmp_path / "evil.pth")
    assert not (tmp_path / "trapped").exists()


def test_a_network_that_looks_at_the_mirror_image_answers_with_the_mean_of_both() -> None:
    torch.manual_seed(0)
    plain = build_network("cnn", CnnConfig(image_size=16, widths=(4, 8), depths=(1, 1)), 7).eval()
    both = build_network("cnn", CnnConfig(image_size=16, widths=(4, 8), depths=(1, 1), mirror=True), 7)
    both.load_state_dict(plain.state_dict())
    faces = torch.rand(3, 1, 16, 16)
    mean = (plain(faces) + plain(faces.flip(3))) / 2
    torch.testing.assert_close(both.eval()(faces), mean)
    torch.testing.assert_close(both(faces), both(faces.flip(3)))
    both.train()
    assert both(faces).shape == (3, 7)


def test_the_last_block_may_keep_its_size_and_the_head_be_one_layer() -> None:
    config = CnnConfig(image_size=16, widths=(4, 8), depths=(1, 1), last_pool=False, hidden=0)
    network = build_network("cnn", config, 7)
    assert network.features(torch.rand(2, 1, 16, 16)).shape == (2, 8, 8, 8)
    assert [tuple(w.shape) for w in network.head.parameters()] == [(7, 8), (7,)]
    assert isinstance(network.explained_layer, torch.nn.ReLU)


@pytest.mark.parametrize("last_pool", [False, True])
def test_pooling_before_relu_changes_no_number(last_pool: bool) -> None:
    config = CnnConfig(image_size=16, widths=(4, 8), depths=(2, 1), last_pool=last_pool)
    torch.manual_seed(0)
    blocks = build_network("cnn", config, 7).features
    plain = []
    for block in blocks:
        layers = [layer for layer in block if not isinstance(layer, nn.ReLU | nn.MaxPool2d)]
        for convolution, norm in zip(layers[::2], layers[1::2], strict=True):
            plain += [convolution, norm, nn.ReLU()]
        plain += [nn.MaxPool2d(2)] * any(isinstance(layer, nn.MaxPool2d) for layer in block)
    faces = torch.rand(3, 1, 16, 16)
    gradients = []
    for network in (blocks, nn.Sequential(*plain)):
        network.zero_grad()
        network(faces).square().sum().backward()
        gradients.append([weight.grad.clone() for weight in blocks.parameters()])
    torch.testing.assert_close(blocks(faces), nn.Sequential(*plain)(faces), rtol=0, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
