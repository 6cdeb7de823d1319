"""Figures on heat maps: exact where the answer is known by hand, and above a floor where it is drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from fer_mlops.config import CnnConfig, HogSvmConfig
from fer_mlops.config.recipes import build_experiment
from fer_mlops.data.datasets import sample
from fer_mlops.data.datasets.synthetic_faces import Region, region_mask
from fer_mlops.data.faces import Faces
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.deletion_insertion import remove_and_insert
from fer_mlops.evaluation.attribution.face_share import face_ellipse, inside_ellipse
from fer_mlops.evaluation.attribution.parameter_randomization import randomised, rank_correlation
from fer_mlops.evaluation.attribution.pointing_game import hit_rates
from fer_mlops.evaluation.attribution.report import AttributionReport, measure_explanations
from fer_mlops.evaluation.explanation import explain, grad_cam
from fer_mlops.images.reading import gray_face
from fer_mlops.metrics.bootstrap import choose_evenly
from fer_mlops.models import build_network
from fer_mlops.models.calibration import Calibration
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.hog import hog_vectors
from fer_mlops.models.hog_svm_fit import fit_hog_svm
from fer_mlops.training.train import train_classifier

SIDE = 32
CONFIG = CnnConfig(image_size=SIDE, widths=(8, 16), depths=(1, 1), hidden=8)
NEUTRAL = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)
HAPPINESS = EMOTIONS.index("happiness")


class OnePixel:
    """Is sure of happiness where one pixel is white, and of neutral where it is not."""

    def __init__(self, row: int, column: int) -> None:
        self.place = (slice(None), row, column)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(pixels), 7), np.float32)
        logits[:, HAPPINESS] = np.where(pixels[self.place] > 200, 50, -50)
        return logits


def one_pixel(row: int = 5, column: int = 9) -> Classifier:
    scorer = OnePixel(row, column)
    return Classifier(family="baseline", image_size=SIDE, scorer=scorer, calibration=NEUTRAL)


@pytest.fixture
def network() -> Classifier:
    torch.manual_seed(1)
    scorer = NetworkScorer(build_network("cnn", CONFIG, 7), CONFIG)
    return Classifier(family="cnn", image_size=SIDE, scorer=scorer, calibration=NEUTRAL)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, SIDE, SIDE)).astype(np.uint8)


def dots(count: int) -> np.ndarray:
    """Returns black faces with one white pixel at (5, 9)."""
    faces = np.zeros((count, SIDE, SIDE), np.uint8)
    faces[:, 5, 9] = 255
    return faces


# ── inside ──


def test_the_share_inside_the_ellipse_is_exact() -> None:
    ellipse = face_ellipse(50)
    assert ellipse.mean() == pytest.approx(math.pi * 0.36 * 0.46, abs=0.005)
    np.testing.assert_array_equal(ellipse, ellipse[::-1, ::-1])
    across, down = np.flatnonzero(ellipse[25]), np.flatnonzero(ellipse[:, 25])
    assert (across[0], across[-1], down[0], down[-1]) == (7, 42, 2, 47)  # .5 ± .36, .5 ± .46 of 50
    maps = np.zeros((4, 50, 50), np.float32)
    maps[0] = ellipse
    maps[1] = ~ellipse
    maps[2, 25, 25], maps[2, 0, 0] = 0.75, 0.25
    maps[3] = 1
    np.testing.assert_allclose(inside_ellipse(maps), [1, 0, 0.75, ellipse.mean()], rtol=1e-6)


def test_a_blank_map_is_nowhere() -> None:
    assert np.isnan(inside_ellipse(np.zeros((1, SIDE, SIDE), np.float32))).all()


# ── removal ──


def test_removing_the_decisive_pixel_first_ends_the_answer_at_once() -> None:
    knows = np.zeros((3, SIDE, SIDE), np.float32)
    knows[:, 5, 9] = 1
    curves = remove_and_insert(one_pixel(), dots(3), np.full(3, HAPPINESS), knows, seed=0)
    assert curves.shares[:3] == (0, 0.05, 0.1)
    assert len(curves.shares) == 21
    np.testing.assert_allclose(curves.deletion, [1] + [0] * 20, atol=1e-12)
    np.testing.assert_allclose(curves.insertion, [0] + [1] * 20, atol=1e-12)
    assert curves.deletion_area == pytest.approx(0.025)
    assert curves.insertion_area == pytest.approx(0.975)
    assert curves.deletion_wins == curves.insertion_wins == 1


def test_a_map_that_marks_all_else_is_worse_than_random() -> None:
    misled = np.ones((40, SIDE, SIDE), np.float32)
    misled[:, 5, 9] = 0
    curves = remove_and_insert(one_pixel(), dots(40), np.full(40, HAPPINESS), misled, seed=0)
    np.testing.assert_allclose(curves.deletion, [1] * 20 + [0], atol=1e-12)
    assert curves.deletion_wins == curves.insertion_wins == 0
    assert 0.2 < curves.random_area < 0.8
    assert all(np.diff(curves.random_deletion) <= 1e-12)


def test_a_map_without_anything_is_a_random_one() -> None:
    blank = np.zeros((5, SIDE, SIDE), np.float32)
    curves = remove_and_insert(one_pixel(), dots(5), np.full(5, HAPPINESS), blank, seed=3)
    assert curves.deletion == curves.random_deletion
    assert curves.deletion_wins == 0


# ── sanity ──


def test_rank_correlation_is_spearmans() -> None:
    one, two = np.random.default_rng(0).random((2, 4, 6, 6)).astype(np.float32).round(1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, two, strict=True)]
    np.testing.assert_allclose(rank_correlation(one, two), expected, atol=1e-12)
    np.testing.assert_allclose(rank_correlation(one, one**2), 1)
    np.testing.assert_allclose(rank_correlation(one, 1 - one), -1)
    assert np.isnan(rank_correlation(one, np.zeros_like(one))).all()


def test_randomised_weights_are_the_same_numbers_elsewhere(network: Classifier) -> None:
    other = randomised(network, 1.0, seed=0)
    assert other is not None
    pairs = zip(network.scorer.network.parameters(), other.scorer.network.parameters(), strict=True)  # type: ignore[attr-defined]
    num_moved = 0
    for before, after in pairs:
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
        num_moved += not torch.equal(before, after)
    assert num_moved >= 5  # not the batch norms, whose numbers are all alike yet


def test_randomising_goes_from_the_top_down(network: Classifier) -> None:
    layers = 6  # two of Conv and BatchNorm, two of Linear
    for share, moved in ((1 / layers, ["head.6"]), (2 / layers, ["head.3", "head.6"])):
        other = randomised(network, share, seed=0)
        assert other is not None
        after = other.scorer.network.state_dict()  # type: ignore[attr-defined]
        before = network.scorer.network.state_dict()  # type: ignore[attr-defined]
        changed = {
            name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])
        }
        assert sorted(changed) == moved


def test_a_baseline_is_randomised_and_what_is_no_model_of_ours_is_not() -> None:
    pixels, labels = noise(60) // 2, np.arange(60) % 3
    pixels[labels == 0, ::4] += 120  # stripes
    pixels[labels == 1, :, ::4] += 120
    vectors = hog_vectors(pixels, cells=(8,), orientations=9)
    settings = HogSvmConfig(image_size=SIDE, cells=(8,), components=10, mirror=False)
    svm = fit_hog_svm(vectors, labels, settings, seed=0)
    whole = Classifier(family="baseline", image_size=SIDE, scorer=svm, calibration=NEUTRAL)
    other = randomised(whole, 1.0, seed=0)
    assert other is not None
    before, after = whole.predict_proba(pixels), other.predict_proba(pixels)
    assert (before.argmax(1) == labels).mean() > 0.9
    assert (after.argmax(1) == labels).mean() < 0.7
    np.testing.assert_array_equal(whole.predict_proba(pixels), before)
    assert randomised(one_pixel(), 1.0, seed=0) is None


# ── hits ──


def test_hits_are_counted_by_hand() -> None:
    heats, masks = np.zeros((5, 8, 8), np.float32), np.zeros((5, 8, 8), bool)
    masks[0, :4], masks[1, 4:], masks[2, :2] = True, True, True  # areas 1/2, 1/2, 1/4
    heats[0, 1, 1], heats[0, 7, 7] = 1, 0.25  # a peak inside, and 4/5 of the mass
    heats[1, 1, 1] = 1  # a peak outside
    heats[2, 0, 0], heats[2, 1, 0] = 1, 1  # all inside
    heats[3, 0, 0] = 1  # a neutral face, which has no region
    masks[4] = True  # a face without a map
    hits = hit_rates(heats, masks, np.array([0, 3, 0, 4, 1]))
    assert hits is not None
    assert hits.num_faces == 3
    assert hits.peak == pytest.approx(2 / 3)
    assert hits.peak_by_chance == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert hits.mass == pytest.approx((0.8 + 0 + 1) / 3)
    # happiness' peak on the two angers: both; the angers' peaks on happiness: none
    assert hits.peak_of_others == pytest.approx(2 / 4)
    assert hits.by_emotion == {"anger": (2, 1, pytest.approx(0.375)), "happiness": (1, 0, 0.5)}


def test_faces_without_regions_have_no_hits() -> None:
    heats = np.ones((2, 8, 8), np.float32)
    assert hit_rates(heats, np.zeros((2, 8, 8), bool), np.array([4, 4])) is None


# ── all together ──


def test_faces_are_chosen_evenly_over_the_labels() -> None:
    labels = np.array([4] * 90 + [3] * 8 + [2] * 2)
    rows = choose_evenly(labels, 20, seed=0)
    assert np.bincount(labels[rows]).tolist() == [0, 0, 2, 8, 10]
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(choose_evenly(labels, 200, seed=0), np.arange(100))
    assert choose_evenly(labels, 20, seed=1).tolist() != rows.tolist()


def test_measuring_leaves_the_network_as_it_was_and_is_repeatable(network: Classifier) -> None:
    scorer = network.scorer
    assert isinstance(scorer, NetworkScorer)
    before = {name: tensor.clone() for name, tensor in scorer.network.state_dict().items()}
    scorer.network.train()
    state = torch.get_rng_state()
    first = measure_explanations(network, noise(9), np.arange(9) % 7, most=6)
    assert torch.equal(state, torch.get_rng_state())
    assert not any(module.training for module in scorer.network.modules())
    assert not any(m._forward_hooks or m._backward_hooks for m in scorer.network.modules())
    for name, tensor in scorer.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert first == measure_explanations(network, noise(9), np.arange(9) % 7, most=6)
    assert (first.num_faces, first.method, first.hits) == (6, "gradcam", None)
    assert first.sanity is not None
    assert first.sanity.randomised == (0.25, 0.5, 0.75, 1)


def test_the_check_sees_maps_that_need_no_learning(network: Classifier) -> None:
    """Maps of a network whose last layer alone was learned hardly change when that one is shuffled."""
    scorer = network.scorer
    assert isinstance(scorer, NetworkScorer)
    nn.init.ones_(scorer.network.head[3].weight)  # type: ignore[index, union-attr, arg-type]
    nn.init.ones_(scorer.network.head[6].weight)  # type: ignore[index, union-attr, arg-type]
    nn.init.zeros_(scorer.network.head[6].bias)  # type: ignore[index, union-attr, arg-type]
    nn.init.zeros_(scorer.network.head[3].bias)  # type: ignore[index, union-attr, arg-type]
    faces, targets = noise(4), np.arange(4)
    maps = grad_cam(scorer, faces, targets)
    other = randomised(network, 1 / 3, seed=0)
    assert other is not None
    again, _ = explain(other, faces, targets)
    np.testing.assert_allclose(rank_correlation(maps, again), 1)


def test_the_report_is_plain_and_its_metrics_are_numbers(network: Classifier) -> None:
    scorer = network.scorer
    assert isinstance(scorer, NetworkScorer)
    whole = [Region("mouth", ((0, 0), (1, 0), (1, 1), (0, 1)))]
    report = measure_explanations(network, noise(2), np.array([0, 1]), regions=[whole, whole])
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["hits"]["peak"] == 1
    assert plain["removal"]["deletion"] == list(report.removal.deletion)
    assert plain["num_faces"] == 2
    assert plain["hits"]["mass"] == 1
    assert plain["removal"]["deletion_area"] == report.removal.deletion_area
    for parameter in scorer.network.parameters():
        nn.init.zeros_(parameter)
    blank = measure_explanations(network, noise(2), np.array([0, 1]))
    assert (blank.num_blank, math.isnan(blank.inside)) == (2, True)
    assert json.loads(json.dumps(blank.as_dict(), allow_nan=False))["inside"] is None


def drawn(people: range, variants: int) -> tuple[Faces, list[tuple[Region, ...]]]:
    faces = [
        (person, name, each)
        for person in people
        for name, each in sample.drawings(person, variants=variants, seed=11)
    ]
    return Faces(
        pixels=np.stack([gray_face(each.image, 48) for *_, each in faces]),
        labels=np.array([EMOTIONS.index(name.split("/")[0]) for _, name, _ in faces]),
        identities=np.array([str(person) for person, *_ in faces]),
    ), [each.regions for *_, each in faces]


@pytest.mark.long
def test_a_network_that_learned_drawn_faces_looks_at_their_action_units(tmp_path: Path) -> None:
    """Over four seeds: peak .52 to .67, mass .38 to .41, shuffled .09 to .19; by chance .155."""
    settings = {
        "cnn.widths": [16, 32, 48],
        "cnn.depths": [1, 2, 1],
        "cnn.last_pool": False,
        "cnn.hidden": 0,
        "cnn.standardise": True,
        "training.epochs": 14,
        "training.batch_size": 32,
        "training.optimizer": "muon",
        "training.learning_rate": 0.003,
    }
    (train, _), (valid, _) = drawn(range(28), 2), drawn(range(40, 44), 1)
    test, regions = drawn(range(50, 60), 1)
    experiment = build_experiment("cnn", settings=settings)
    learned = train_classifier(experiment, train, valid, on_step=lambda _: None, cache=tmp_path)
    classifier = learned.classifier
    report: AttributionReport = measure_explanations(
        classifier, test.pixels, test.labels, regions=regions, most=70
    )
    assert report.hits is not None
    assert report.sanity is not None
    assert report.hits.num_faces >= 55
    assert report.hits.peak_by_chance < 0.2
    assert report.hits.peak > 0.4
    assert report.hits.mass > 2 * report.hits.peak_by_chance
    assert report.removal.deletion_area < report.removal.random_area < report.removal.insertion_area
    assert abs(report.sanity.rank_correlation) < 0.4
    untrained = randomised(classifier, 1.0, seed=0)
    assert untrained is not None
    heats, _ = explain(untrained, test.pixels, test.labels)
    masks = np.stack([region_mask(each, 48) for each in regions])
    blind = hit_rates(heats, masks, test.labels)
    assert blind is not None
    assert blind.mass < report.hits.mass - 0.1
