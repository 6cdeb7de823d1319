"""Prior strength and temperature, fitted on validation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import special

from fer_mlops.metrics.calibration import expected_calibration_error, nll_of_each
from fer_mlops.models.calibration import Calibration, log_softmax, softmax
from fer_mlops.models.calibration_fit import (
    fit_calibration,
    fit_threshold,
    largest_error,
    with_thresholds,
)

Faces = tuple[NDArray[np.float32], NDArray[np.int64]]

NO_BIAS = np.zeros(7, dtype=np.float32)
EVEN = np.log(np.full(7, 1 / 7, dtype=np.float32))
COMMON, RARE = 4, 2
SKEWED = np.log(np.array([0.02, 0.02, 0.09, 0.02, 0.81, 0.02, 0.02], dtype=np.float32))
"""Nine COMMON faces to one RARE one: taking strength s away favours RARE by s x log 9."""


def drawn_from(spread: float, n: int = 5000) -> Faces:
    """Returns logits and labels that follow their softmax exactly."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, spread, (n, 7))
    noise = generator.gumbel(size=(n, 7))  # the largest of logits + Gumbel noise follows the softmax
    return logits.astype(np.float32), (logits + noise).argmax(1)


def margins(groups: list[tuple[int, int, float]]) -> Faces:
    """Returns faces in (how many, label, lead of COMMON over RARE in logits) groups."""
    labels = np.concatenate([np.full(n, label) for n, label, _ in groups])
    logits = np.full((len(labels), 7), -20, dtype=np.float32)
    logits[:, RARE] = 0
    logits[:, COMMON] = np.concatenate([np.full(n, lead) for n, _, lead in groups])
    return logits, labels


# ── temperature ──


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_temperature_recovers_how_far_too_sure_the_logits_are(factor: float) -> None:
    logits, labels = drawn_from(spread=2.0)
    fitted = fit_calibration(np.float32(factor) * logits, labels, NO_BIAS, EVEN)
    assert fitted.temperature == pytest.approx(factor, rel=0.06)


def test_temperature_is_fitted_to_the_logits_with_their_bias() -> None:
    logits, labels = drawn_from(spread=2.0)
    bias = np.linspace(-4, 4, 7, dtype=np.float32)
    fitted = fit_calibration(3 * logits - bias, labels, bias, EVEN)
    assert fitted.temperature == pytest.approx(3, rel=0.06)


def test_temperature_lowers_nll_and_calibration_error_and_changes_no_answer() -> None:
    logits, labels = drawn_from(spread=2.0)
    too_sure = 4 * logits
    fitted = fit_calibration(too_sure, labels, NO_BIAS, EVEN)
    plain = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)
    before, after = plain.probabilities(too_sure), fitted.probabilities(too_sure)
    assert nll_of_each(labels, after).mean() < nll_of_each(labels, before).mean()
    assert expected_calibration_error(labels, after) < 0.03
    assert expected_calibration_error(labels, before) > 0.15
    np.testing.assert_array_equal(after.argmax(1), before.argmax(1))


def test_temperature_stays_in_bounds_where_every_face_is_right() -> None:
    logits = 5 * np.eye(7, dtype=np.float32)
    fitted = fit_calibration(logits, np.arange(7), NO_BIAS, EVEN)
    assert fitted.temperature == pytest.approx(0.2, rel=0.01)


def test_temperature_stays_in_bounds_where_every_face_is_wrong() -> None:
    logits = 5 * np.eye(7, dtype=np.float32)
    fitted = fit_calibration(logits, (np.arange(7) + 1) % 7, NO_BIAS, EVEN)
    assert fitted.temperature == pytest.approx(5.0, rel=0.01)


# ── prior strength ──


def test_a_strength_that_lifts_the_rare_emotion_for_free_is_taken() -> None:
    # log 9 x (1 - s) passes the lead of 1 at s = 0.5, and not yet at 0.625
    faces = margins([(180, COMMON, 9.0), (20, RARE, 1.0)])
    fitted = fit_calibration(*faces, NO_BIAS, SKEWED)
    assert fitted.prior_strength == 0.5
    np.testing.assert_array_equal(fitted.probabilities(faces[0]).argmax(1), faces[1])


def test_ties_go_to_the_natural_strength() -> None:
    faces = margins([(90, COMMON, 9.0), (10, RARE, -9.0)])  # right at any strength
    assert fit_calibration(*faces, NO_BIAS, SKEWED).prior_strength == 1.0


def test_where_all_emotions_are_alike_the_strength_is_natural() -> None:
    logits, labels = drawn_from(spread=1.0, n=300)
    assert fit_calibration(logits, labels, NO_BIAS, EVEN).prior_strength == 1.0


@pytest.mark.parametrize(("common_lost", "strength"), [(10, 0.5), (14, 1.0)])
def test_a_better_macro_f1_may_not_cost_more_than_half_a_point_of_accuracy(
    common_lost: int, strength: float
) -> None:
    # lowering the strength wins 10 RARE faces of 400 and loses 0 or 4 more COMMON ones: 1 %
    faces = margins([(390 - common_lost, COMMON, 9.0), (common_lost, COMMON, 1.0), (10, RARE, 1.0)])
    assert fit_calibration(*faces, NO_BIAS, SKEWED).prior_strength == strength


# ── what comes out ──


def test_the_natural_strength_keeps_the_natural_bias_as_it_is() -> None:
    bias = np.array([0.5, -1, 0, 2, 0, 0.25, 0], dtype=np.float32)
    fitted = fit_calibration(20 * np.eye(7, dtype=np.float32), np.arange(7), bias, EVEN)
    assert fitted.prior_strength == 1.0
    assert fitted.bias == tuple(bias.tolist())


def test_a_lower_strength_takes_that_share_of_the_prior_back_from_the_bias() -> None:
    faces = margins([(180, COMMON, 9.0), (20, RARE, 1.0)])
    shift = np.float32(0.0) + SKEWED  # as after logit adjustment
    adjusted = (faces[0] - shift, faces[1])
    fitted = fit_calibration(*adjusted, shift, SKEWED)
    assert fitted.prior_strength == 0.5
    np.testing.assert_allclose(fitted.bias, 0.5 * SKEWED, rtol=1e-6)


def test_probabilities_are_the_softmax_of_biased_logits_over_temperature() -> None:
    logits = np.zeros((1, 2), dtype=np.float32)
    one = Calibration(bias=(math.log(3.0), 0.0), temperature=1.0, prior_strength=1.0)
    two = Calibration(bias=(math.log(3.0), 0.0), temperature=2.0, prior_strength=1.0)
    np.testing.assert_allclose(one.probabilities(logits), [[0.75, 0.25]])
    root = math.sqrt(3.0)
    np.testing.assert_allclose(two.probabilities(logits), [[root / (1 + root), 1 / (1 + root)]])


def test_probabilities_sum_to_one_and_are_double_precision_even_for_wild_logits() -> None:
    calibration = Calibration(bias=(0.0,) * 7, temperature=0.2, prior_strength=1.0)
    wild = np.array([[1e4, -1e4, 0, 1, 2, 3, 4]], dtype=np.float32)
    probabilities = calibration.probabilities(wild)
    assert probabilities.dtype == np.float64
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)
    assert probabilities[0, 0] == 1.0


# ── operating points ──


def test_every_point_takes_its_own_share_of_the_prior_and_its_own_temperature() -> None:
    faces = margins([(180, COMMON, 9.0), (20, RARE, 1.0)])
    shift = np.float32(0.0) + SKEWED
    fitted = fit_calibration(faces[0] - shift, faces[1], shift, SKEWED)
    assert fitted.at("default") is fitted
    natural, balanced = fitted.at("natural"), fitted.at("balanced")
    assert natural.prior_strength == 1
    assert balanced.prior_strength == fitted.balanced_strength
    np.testing.assert_allclose(natural.bias, SKEWED, rtol=1e-5)
    np.testing.assert_allclose(balanced.bias, fitted.balanced_strength * SKEWED, rtol=1e-5, atol=1e-6)
    for point, strength in ((natural, 1.0), (fitted, 0.5)):
        alone = fit_calibration(faces[0] - shift + strength * SKEWED, faces[1], NO_BIAS, EVEN)
        assert point.temperature == pytest.approx(alone.temperature, rel=1e-3)
    assert natural.temperature != fitted.temperature


@pytest.mark.parametrize(("num_lost", "is_taken"), [(10, True), (14, False)])
def test_the_balanced_point_may_cost_five_points_of_accuracy(num_lost: int, is_taken: bool) -> None:
    """Rare faces trail by 1, and so do ``num_lost`` of 200 faces that are common after all."""
    logits, labels = margins(
        [(200 - num_lost - 2, COMMON, 9.0), (num_lost, COMMON, 1.0), (2, RARE, 1.0)]
    )
    fitted = fit_calibration(logits, labels, NO_BIAS, SKEWED)
    assert (fitted.balanced_strength < 1) == is_taken
    assert fitted.prior_strength == 1  # half a point was too little for either


# ── sure answers ──


@pytest.mark.parametrize(
    ("num_wrong", "num", "bound"), [(0, 59, 0.0495), (0, 58, 0.0503), (1, 20, 0.2161), (3, 3, 1.0)]
)
def test_the_bound_is_that_of_clopper_and_pearson(num_wrong: int, num: int, bound: float) -> None:
    assert largest_error(num_wrong, num, 0.05) == pytest.approx(bound, abs=1e-4)
    if num_wrong < num:  # so few errors have exactly the doubt as their chance at the bound
        value = largest_error(num_wrong, num, 0.05)
        chance = sum(
            math.comb(num, k) * value**k * (1 - value) ** (num - k) for k in range(num_wrong + 1)
        )
        assert chance == pytest.approx(0.05, rel=1e-6)


def answers(seed: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Returns labels and answers of seven emotions whose confidence is the chance to be right."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.5, 1, n)
    labels = np.where(generator.random(n) < confidence, 0, 1)
    probabilities = np.zeros((n, 7))
    probabilities[:, 0], probabilities[:, 6] = confidence, 1 - confidence
    return labels.astype(np.int64), probabilities


def test_sure_answers_keep_to_the_error_asked_for_on_other_faces() -> None:
    broken, shares = 0, []
    for seed in range(100):
        threshold = fit_threshold(*answers(seed, 2000), 0.1)
        # of confidences spread evenly from t to 1, the error is (1 - t) / 2
        broken += (1 - threshold) / 2 > 0.1
        shares.append((1 - threshold) / 0.5)
    assert broken <= 5
    assert 0.2 < np.mean(shares) < 0.4  # 0.4 could be answered were the truth known


def test_a_looser_rate_answers_more_and_an_easy_one_all() -> None:
    labels, probabilities = answers(0, 2000)
    thresholds = [fit_threshold(labels, probabilities, rate) for rate in (0.05, 0.1, 0.2, 0.9)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert thresholds[-1] == probabilities.max(1).min()


def test_too_few_faces_make_no_answer_sure() -> None:
    labels, probabilities = np.zeros(40, dtype=np.int64), np.eye(7)[np.zeros(40, dtype=np.int64)]
    threshold = fit_threshold(labels, probabilities, 0.05)
    calibration = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0, threshold=threshold)
    assert not calibration.is_sure(probabilities).any()
    many = np.zeros(400, dtype=np.int64)
    assert fit_threshold(many, np.eye(7)[many], 0.05) == 1.0


def test_every_point_has_its_own_threshold() -> None:
    logits, labels = drawn_from(spread=3.0)
    prior = SKEWED
    fitted = with_thresholds(fit_calibration(logits, labels, NO_BIAS, prior), logits, labels, 0.1)
    for point in ("default", "natural", "balanced"):
        at = fitted.at(point)  # type: ignore[arg-type]
        probabilities = at.probabilities(logits)
        assert at.threshold == fit_threshold(labels, probabilities, 0.1)
        sure = at.is_sure(probabilities)
        assert 0.1 < sure.mean() < 1
        assert (probabilities.argmax(1) != labels)[sure].mean() <= 0.1


def test_a_calibration_without_a_threshold_is_sure_of_everything() -> None:
    old = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)
    assert old.is_sure(np.full((3, 7), 1 / 7)).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0, 1e5])
def test_softmax_has_the_digits_of_scipy(scale: float) -> None:
    logits = scale * np.random.default_rng(0).normal(size=(2000, 7))
    assert (softmax(logits) == special.softmax(logits, axis=1)).all()
    assert (log_softmax(logits) == special.log_softmax(logits, axis=1)).all()
    assert softmax(logits[:0]).shape == (0, 7)
