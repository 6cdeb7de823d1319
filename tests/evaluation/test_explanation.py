"""Heat maps: right by hand, and where the evidence was put."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fer_mlops.config import CnnConfig
from fer_mlops.errors import ConfigError
from fer_mlops.evaluation.explanation import explain, feature_maps, grad_cam, occlusion
from fer_mlops.images.arrays import Images
from fer_mlops.models import build_network
from fer_mlops.models.base import to_images
from fer_mlops.models.calibration import Calibration, Logits
from fer_mlops.models.classifier import Classifier, NetworkScorer

CONFIG = CnnConfig(image_size=32, widths=(8, 16), depths=(1, 1), hidden=8, dropout=0.5)
NEUTRAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


@pytest.fixture
def scorer() -> NetworkScorer:
    torch.manual_seed(1)
    return NetworkScorer(build_network("cnn", CONFIG, 7), CONFIG)


def faces(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 32, 32)).astype(np.uint8)


def cam_by_hand(scorer: NetworkScorer, layer: nn.Module, targets: np.ndarray) -> np.ndarray:
    """Returns the maps of ``faces()`` by autograd and the paper's two equations."""
    kept: list[Tensor] = []

    def keep(*seen: Tensor) -> Tensor:
        kept.append(seen[2])
        return seen[2].clone()  # as what comes after may change it in place

    handle = layer.register_forward_hook(keep)
    logits = scorer.network.eval()(to_images(faces(len(targets)), torch.device("cpu")))
    handle.remove()
    chosen = logits[torch.arange(len(targets)), torch.tensor(targets)].sum()
    (gradient,) = torch.autograd.grad(chosen, kept)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * kept[0]).sum(1, keepdim=True))
    wide = F.interpolate(cam, (32, 32), mode="bilinear", align_corners=False)[:, 0].detach().numpy()
    largest = wide.max(axis=(1, 2), keepdims=True)
    return wide / np.where(largest > 0, largest, 1)


def test_grad_cam_agrees_with_one_by_hand(scorer: NetworkScorer) -> None:
    targets = np.array([0, 3, 6])
    layer = scorer.network.explained_layer
    assert isinstance(layer, nn.Module)
    ours = grad_cam(scorer, faces(), targets)
    np.testing.assert_allclose(ours, cam_by_hand(scorer, layer, targets), atol=1e-5)
    assert ours.max() == 1


@pytest.mark.parametrize("name", ["features.0", "features.0.0", "features.1.1", "features"])
def test_any_layer_with_maps_can_be_weighed(scorer: NetworkScorer, name: str) -> None:
    targets = np.array([5, 1, 2])
    ours = grad_cam(scorer, faces(), targets, name)
    by_hand = cam_by_hand(scorer, scorer.network.get_submodule(name), targets)
    np.testing.assert_allclose(ours, by_hand, atol=1e-5)
    assert ours.any()


def test_many_faces_are_explained_as_one_by_one(scorer: NetworkScorer) -> None:
    targets = np.arange(70) % 7
    together = grad_cam(scorer, faces(70), targets)
    for row in (0, 63, 64, 69):
        alone = grad_cam(scorer, faces(70)[[row]], targets[[row]])
        np.testing.assert_allclose(together[[row]], alone, atol=1e-5)


def test_maps_are_between_0_and_1_and_leave_the_network_as_it_was(scorer: NetworkScorer) -> None:
    before = {name: tensor.clone() for name, tensor in scorer.network.state_dict().items()}
    maps = grad_cam(scorer, faces(), np.array([1, 2, 3]))
    assert maps.shape == (3, 32, 32)
    assert maps.min() >= 0
    assert maps.max() <= 1
    for name, tensor in scorer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert all(p.grad is None for p in scorer.network.parameters())
    assert hooks_of(scorer) == []


def hooks_of(scorer: NetworkScorer) -> list[nn.Module]:
    return [m for m in scorer.network.modules() if m._forward_hooks or m._backward_hooks]


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


class Other:
    """A scorer without gradients."""

    def logits(self, pixels: Images) -> Logits:
        return np.zeros((len(pixels), 7), np.float32)


def test_a_network_is_explained_by_grad_cam_and_all_else_by_occlusion(scorer: NetworkScorer) -> None:
    options = {"image_size": 32, "calibration": NEUTRAL}
    network = Classifier(family="cnn", scorer=scorer, **options)  # type: ignore[arg-type]
    other = Classifier(family="baseline", scorer=Other(), **options)  # type: ignore[arg-type]
    assert explain(network, faces(1), np.array([0]))[1] == "gradcam"
    assert explain(other, faces(1), np.array([0]))[1] == "occlusion"


def test_a_face_that_moves_nothing_gets_an_empty_map(scorer: NetworkScorer) -> None:
    for parameter in scorer.network.parameters():
        nn.init.zeros_(parameter)
    assert grad_cam(scorer, faces(1), np.array([0])).max() == 0


def test_the_layers_with_maps_are_known_by_name_and_size(scorer: NetworkScorer) -> None:
    maps = feature_maps(scorer, 32)
    assert maps["features.0"] == (16, 16)
    assert maps["features.0.0"] == (32, 32)
    assert maps["features.1"] == maps["features"] == (8, 8)
    assert not any(name.startswith(("head", "scale")) for name in maps)
    assert hooks_of(scorer) == []


def test_a_layer_of_one_point_or_called_twice_has_no_map_of_its_own() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.point = nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1)
            self.again, self.head = nn.ReLU(), nn.Linear(4, 7)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.again(self.again(self.first(images)) + 1)
            return self.head(self.point(maps).flatten(1))

    assert feature_maps(NetworkScorer(Twice(), CONFIG), 32) == {"first": (32, 32)}


@pytest.mark.parametrize("name", ["features.7", "head.3", "scale", ""])
def test_a_layer_without_maps_is_refused_with_those_that_have_some(
    scorer: NetworkScorer, name: str
) -> None:
    classifier = Classifier(family="cnn", image_size=32, scorer=scorer, calibration=NEUTRAL)
    with pytest.raises(ConfigError, match=r"features.0 \(16 x 16\), ") as refused:
        explain(classifier, faces(1), np.array([0]), layer=name)
    assert repr(name) in str(refused.value)


def test_a_deep_network_lists_its_outer_layers_only() -> None:
    config = CnnConfig(image_size=32, widths=(2, 2, 2), depths=(3, 3, 3))
    deep = NetworkScorer(build_network("cnn", config, 7), config)
    with pytest.raises(ConfigError, match=r"features.2 \(4 x 4\), or one of the 30 inside them$"):
        grad_cam(deep, faces(1), np.array([0]), "features.9")


def test_methods_that_do_not_fit_are_refused(scorer: NetworkScorer) -> None:
    network = Classifier(family="cnn", image_size=32, scorer=scorer, calibration=NEUTRAL)
    other = Classifier(family="baseline", image_size=32, scorer=Corner(), calibration=NEUTRAL)
    one = (faces(1), np.array([0]))
    with pytest.raises(ConfigError, match="baseline classifier has none; use the method occlusion"):
        explain(other, *one, method="gradcam")
    for classifier, method in ((other, None), (network, "occlusion")):
        with pytest.raises(ConfigError, match="uses no layer"):
            explain(classifier, *one, layer="features.0", method=method)  # type: ignore[arg-type]
    assert explain(network, *one, method="occlusion")[1] == "occlusion"


def test_faces_are_scored_alike_while_others_are_explained(scorer: NetworkScorer) -> None:
    many, targets = faces(64), np.zeros(64, np.int64)
    expected, maps = scorer.logits(many), grad_cam(scorer, many, targets)
    with ThreadPoolExecutor(3) as pool:
        explained = [pool.submit(grad_cam, scorer, many, targets) for _ in range(6)]
        scored = [pool.submit(scorer.logits, many[: 1 + n]) for n in range(30)]
        for number, one in enumerate(scored):
            np.testing.assert_allclose(one.result(), expected[: 1 + number], atol=1e-5)
        for heats in explained:
            np.testing.assert_allclose(heats.result(), maps, atol=1e-4)


def test_explaining_hooks_nothing_onto_the_network_that_answers(scorer: NetworkScorer) -> None:
    met: list[int] = []

    def note(module: nn.Module, *_: object) -> None:
        met.append(len(hooks_of(scorer)))

    (module,) = [m for name, m in scorer.network.named_modules() if name == "head"]
    module.register_forward_hook(note)
    own = len(hooks_of(scorer))
    grad_cam(scorer, faces(2), np.zeros(2, np.int64))
    assert set(met) <= {own}
