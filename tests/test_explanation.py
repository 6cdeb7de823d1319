"""Heat maps: right by hand, and where the evidence was put."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_mlops.calibration import Calibration
from fer_mlops.classifier import Classifier, NetworkScorer
from fer_mlops.config import CnnConfig
from fer_mlops.explanation import explain, grad_cam, occlusion
from fer_mlops.features import to_images
from fer_mlops.models import build_network

CONFIG = CnnConfig(image_size=32, widths=(8, 16), depths=(1, 1), hidden=8, dropout=0.5)
NEUTRAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


@pytest.fixture
def scorer() -> NetworkScorer:
    torch.manual_seed(1)
    return NetworkScorer(build_network("cnn", CONFIG, 7), CONFIG)


def faces(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 32, 32)).astype(np.uint8)


def test_grad_cam_agrees_with_one_by_hand(scorer: NetworkScorer) -> None:
    targets = np.array([0, 3, 6])
    ours = grad_cam(scorer, faces(), targets)
    network = scorer.network.eval()
    kept: list[Tensor] = []
    handle = network.explained_layer.register_forward_hook(lambda *args: kept.append(args[2]))  # type: ignore[operator, union-attr]
    logits = network(to_images(faces(), torch.device("cpu")))
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[torch.arange(3), torch.tensor(targets)].sum(), kept)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * kept[0]).sum(1, keepdim=True))
    wide = F.interpolate(cam, (32, 32), mode="bilinear", align_corners=False)[:, 0].detach().numpy()
    largest = wide.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(ours, wide / np.where(largest > 0, largest, 1), atol=1e-5)


def test_maps_are_between_0_and_1_and_leave_the_network_as_it_was(scorer: NetworkScorer) -> None:
    before = {name: tensor.clone() for name, tensor in scorer.network.state_dict().items()}
    maps = grad_cam(scorer, faces(), np.array([1, 2, 3]))
    assert maps.shape == (3, 32, 32)
    assert maps.min() >= 0
    assert maps.max() <= 1
    for name, tensor in scorer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(p.grad is None for p in scorer.network.parameters())
    hooks = [m for m in scorer.network.modules() if m._forward_hooks or m._backward_hooks]
    assert hooks == []


class Corner:
    """Sees happiness where the top left corner is bright."""

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(pixels), 7), np.float32)
        logits[:, 3] = pixels[:, :8, :8].mean(axis=(1, 2)) / 25
        return logits


def test_occlusion_finds_where_the_evidence_is() -> None:
    classifier = Classifier(family="baseline", image_size=32, scorer=Corner(), calibration=NEUTRAL)
    face = np.zeros((1, 32, 32), np.uint8)
    face[:, :8, :8] = 255
    heat = occlusion(classifier, face, np.array([3]))[0]
    assert heat[:8, :8].mean() > 5 * heat.mean()
    assert heat[12:, 12:].max() < 0.01


def test_a_network_is_explained_by_grad_cam_and_all_else_by_occlusion(scorer: NetworkScorer) -> None:
    options = {"image_size": 32, "calibration": NEUTRAL}
    network = Classifier(family="cnn", scorer=scorer, **options)  # type: ignore[arg-type]
    graph = Classifier(family="cnn", scorer=NetworkScorer(scorer.network), **options)  # type: ignore[arg-type]
    assert explain(network, faces(1), np.array([0]))[1] == "gradcam"
    assert explain(graph, faces(1), np.array([0]))[1] == "occlusion"


def test_a_face_that_moves_nothing_gets_an_empty_map(scorer: NetworkScorer) -> None:
    for parameter in scorer.network.parameters():
        nn.init.zeros_(parameter)
    assert grad_cam(scorer, faces(1), np.array([0])).max() == 0
