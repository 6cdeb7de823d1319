"""Backbones by name: features, stages, explained layer, published weights, rates and freezing."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import get_model

from fer_mlops.config import TrainingConfig, TransferConfig
from fer_mlops.errors import ConfigError, WeightsError
from fer_mlops.evaluation.explanation import explain
from fer_mlops.models import backbones
from fer_mlops.models.backbones import BACKBONES, find_backbone
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.feature_maps import survey
from fer_mlops.models.resnet18 import PARTS, ResNet18
from fer_mlops.models.transfer import TransferNetwork, build_pretrained
from fer_mlops.training.optimizers import OPTIMIZERS, Muon

SMALL = ("mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1", "timm:resnet10t")
FAMILIES = (
    "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5",
    "mobilenet_v2", "regnet_y_400mf", "resnet50", "vgg11_bn", "timm:convnextv2_atto",
)  # fmt: skip
NEUTRAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


def transfer(name: str = "shufflenet_v2_x0_5", **settings: object) -> TransferNetwork:
    torch.manual_seed(0)
    config = TransferConfig(backbone=name, weights="none", **{"image_size": 96, **settings})  # type: ignore[arg-type]
    return TransferNetwork(name, config, 7)


@pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)]
)
def test_a_backbone_by_name_saves_loads_and_is_explained_at_stride_16(name: str, tmp_path: Path) -> None:
    network = transfer(name).eval()
    shapes: list[torch.Size] = []
    handle = network.explained_layer.register_forward_hook(lambda *args: shapes.append(args[2].shape))
    with torch.inference_mode():
        network(torch.rand(2, 1, 96, 96))
    handle.remove()
    assert shapes[0][2:] in {(5, 5), (6, 6), (9, 9)}  # without padding 96 px are no multiple of 16
    config = TransferConfig(backbone=name, weights="none")
    scorer = NetworkScorer(network, config)
    made = Classifier(family="transfer", image_size=96, scorer=scorer, calibration=NEUTRAL)
    made.save(tmp_path)
    faces = np.random.default_rng(0).integers(0, 255, (3, 96, 96)).astype(np.uint8)
    expected = made.predict_proba(faces)
    rebuilt = Classifier.load(tmp_path)
    np.testing.assert_array_equal(rebuilt.predict_proba(faces), expected)
    heats, method = explain(rebuilt, faces, expected.argmax(1))
    assert (heats.shape, method) == ((3, 96, 96), "gradcam")


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5"])
def test_a_state_dict_of_torchvision_gives_the_features_of_its_own_network(
    name: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    published = get_model(name, weights=None).eval()
    torch.save(published.state_dict(), tmp_path / "weights.pth")
    config = TransferConfig(backbone=name, weights=str(tmp_path / "weights.pth"))
    network, origin = build_pretrained(config, 7)
    assert origin.backbone == name
    faces = torch.rand(2, 3, 96, 96)
    layers = [layer for layer in published.modules() if isinstance(layer, nn.Linear)]
    with torch.inference_mode():
        features = network.eval().features(faces)
        torch.testing.assert_close(layers[-1](features), published(faces), atol=1e-5, rtol=1e-4)


def test_resnet18_is_torchvisions_layer_by_layer() -> None:
    torch.manual_seed(3)
    own, next_own = ResNet18(), torch.rand(1)
    torch.manual_seed(3)
    published, next_published = get_model("resnet18", weights=None), torch.rand(1)
    theirs = nn.Sequential(*[getattr(published, part) for part in PARTS])
    assert next_own == next_published, "the weights drawn after it are the same too"
    assert [name for name, _ in own.named_modules()] == [name for name, _ in theirs.named_modules()]
    for (name, tensor), (their_name, their_tensor) in zip(
        own.state_dict().items(), theirs.state_dict().items(), strict=True
    ):
        assert name == their_name
        assert torch.equal(tensor, their_tensor)
    faces = torch.rand(2, 3, 64, 64)
    for is_training in (True, False):
        assert torch.equal(own.train(is_training)(faces), theirs.train(is_training)(faces))


@pytest.mark.parametrize(
    ("name", "side"), [("resnet18", 48), ("resnet18", 96), ("efficientnet_lite0", 48), ("dlib_face", 64)]
)
def test_a_backbone_without_memory_has_the_structure_of_one_with_weights(name: str, side: int) -> None:
    with torch.device("meta"):
        network = BACKBONES[name].build()
        found = survey(network, name, side)
    assert all(tensor.is_meta for tensor in network.state_dict().values())
    assert found == survey(BACKBONES[name].build(), name, side)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save(get_model("shufflenet_v2_x1_0", weights=None).state_dict(), tmp_path / "weights.pth")
    config = TransferConfig(backbone="shufflenet_v2_x0_5", weights=str(tmp_path / "weights.pth"))
    with pytest.raises(WeightsError, match="not shufflenet_v2_x0_5 weights"):
        build_pretrained(config, 7)


@pytest.mark.parametrize("weights", ["imagenet", "IMAGENET1K_V1"])
def test_published_weights_that_cannot_be_had_stop_with_the_ways_out(
    weights: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"mobilenet_v3_small's ImageNet weights.*--weights PATH.*--weights none"
    ):
        build_pretrained(TransferConfig(backbone="mobilenet_v3_small", weights=weights), 7)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("mobilnet_v3_large", "did you mean mobilenet_v3_large"),
        ("resnet1O1", "did you mean resnet101"),
        ("timm:resnt18", "did you mean timm:resnet18"),
        ("timm:resnet18.imagenet", "did you mean timm:resnet18"),
    ],
)
def test_an_unknown_backbone_is_answered_with_close_names(name: str, near: str) -> None:
    with pytest.raises(ConfigError, match=near):
        find_backbone(name)


def test_without_timm_its_backbones_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install 'fer-mlops\[timm\]'"):
        find_backbone("timm:resnet18d")


@pytest.mark.parametrize(
    ("name", "side", "message"),
    [
        ("timm:vit_tiny_patch16_224", 224, "works on patches"),
        ("timm:vit_tiny_patch16_224", 96, "cannot take faces of 96 pixels.*set transfer.image_size"),
        ("googlenet", 1, "cannot take faces of 1 pixels"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_refused(name: str, side: int, message: str) -> None:
    from fer_mlops.models.feature_maps import survey

    with pytest.raises(ConfigError, match=message):
        survey(find_backbone(name).build(), name, side)


def test_each_stage_moves_at_the_rate_of_the_next_times_the_decay() -> None:
    network = transfer(backbone_rate_decay=0.5)
    rates = [network.rates[f"features.{name}"] for name, _ in network.features.named_parameters()]
    assert sorted(set(rates)) == [1 / 16, 1 / 8, 1 / 4, 1 / 2]
    assert rates == sorted(rates), "the stages of this backbone stand in the order of its parameters"
    for name in OPTIMIZERS:
        config = TrainingConfig(optimizer=name, learning_rate=0.01, muon_learning_rate=0.1)  # type: ignore[arg-type]
        names = {id(weight): key for key, weight in network.named_parameters()}
        moved = set()
        for optimizer in OPTIMIZERS[name](network, config):
            full = 0.1 if isinstance(optimizer, Muon) else 0.01
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    key = names[id(weight)]
                    moved.add(key)
                    assert group["lr"] == full * network.rates.get(key, 1.0), key
        assert moved == set(names.values())


def test_frozen_stages_take_no_gradient_and_keep_their_statistics() -> None:
    network = transfer(frozen_stages=2, freeze_batch_norm=False).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    followed: dict[str, bool] = {}
    for name, module in network.features.named_children():
        module.register_forward_hook(
            lambda _, __, out, name=name: followed.update({name: out.requires_grad})
        )
    network(torch.rand(4, 1, 96, 96)).sum().backward()
    for optimizer in OPTIMIZERS["adamw"](network, TrainingConfig()):
        optimizer.step()
    changed = {n for n, tensor in network.state_dict().items() if not torch.equal(tensor, before[n])}
    frozen = {
        name for name in before if name.startswith(("features.conv1", "features.stage2.0.branch1.0"))
    }
    assert frozen
    assert not frozen & changed
    assert {
        "features.stage4.1.branch2.0.weight",
        "features.conv5.1.running_mean",
        "head.1.bias",
    } <= changed
    assert [name for name, is_followed in followed.items() if not is_followed] == [
        "conv1", "maxpool", "stage2",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "frozen"), [("resnet18", True), ("dlib_face", False)])
def test_batch_norms_without_published_statistics_are_trained(name: str, frozen: bool) -> None:
    network = TransferNetwork(name, TransferConfig(image_size=64), 7).train()
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    assert norms
    assert {each.training for each in norms} == {not frozen}


def test_more_frozen_stages_than_there_are_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="frozen_stages must be 0 to 4, the stages of shufflenet_v2_x0_5"
    ):
        transfer(frozen_stages=5)


def test_a_wholly_frozen_backbone_can_still_be_explained() -> None:
    config = TransferConfig(backbone="shufflenet_v2_x0_5", frozen_stages=4)
    network = transfer(frozen_stages=4)
    made = Classifier(
        family="transfer", image_size=96, scorer=NetworkScorer(network, config), calibration=NEUTRAL
    )
    faces = np.random.default_rng(0).integers(0, 255, (7, 96, 96)).astype(np.uint8)
    heats, _ = explain(made, faces, np.arange(7))
    assert heats.max() == 1


def test_muon_keeps_the_scale_of_pretrained_weights() -> None:
    network = transfer()
    convolutions = {n: w for n, w in network.named_parameters() if w.ndim == 4 and w.shape[1] > 3}
    norms = {name: float(weight.detach().norm()) for name, weight in convolutions.items()}
    before = {name: weight.detach().clone() for name, weight in convolutions.items()}
    optimizers = OPTIMIZERS["muon"](network, TrainingConfig(optimizer="muon", muon_learning_rate=0.01))
    for _ in range(3):
        network(torch.rand(4, 1, 96, 96)).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    for name, weight in convolutions.items():
        assert float(weight.detach().norm()) == pytest.approx(norms[name], rel=0.02), name
        assert not torch.equal(weight, before[name])


@contextmanager
def publisher(content: bytes, seconds: float = 0.0) -> Iterator[str]:
    """Yields the address of a server that sends ``content``, the second half after some time."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            with suppress(OSError):
                self.wfile.write(content[:half])
                is_over.wait(seconds)
                self.wfile.write(content[half:])

        def log_message(self, *_: object) -> None:
            pass

    is_over = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        is_over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_weights_are_downloaded_once_by_their_digest_with_a_limit_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("fer_mlops.models.weights._DOWNLOAD_TIMEOUT", 0.3)

    def refuse(_: object) -> None:
        raise AssertionError("it would hold for every connection of this process")

    monkeypatch.setattr("socket.setdefaulttimeout", refuse)
    buffer = io.BytesIO()
    torch.save({"layer": torch.ones(3)}, buffer)
    content = buffer.getvalue()
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"

    def downloaded_model(url: str) -> Any:
        return backbones._fetch("resnet18", SimpleNamespace(url=url))["layer"].tolist()

    with publisher(content) as address:
        with pytest.raises(WeightsError, match="sent a file of another digest"):
            downloaded_model(f"{address}/net-00000000.pth")
        assert downloaded_model(f"{address}/{name}") == [1, 1, 1]
    assert downloaded_model(f"http://127.0.0.1:9/{name}") == [1, 1, 1], "it is in the cache"
    assert [file.name for file in (tmp_path / "hub" / "checkpoints").iterdir()] == [name]
    (tmp_path / "hub" / "checkpoints" / name).unlink()
    with publisher(content, seconds=60) as address, pytest.raises(WeightsError, match="timed out"):
        downloaded_model(f"{address}/{name}")
    assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []
