"""Reports and their intervals."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pytest
import sklearn.metrics as sklearn
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.report import HEADLINES, Estimate, confidence_measures, evaluate
from fer_mlops.metrics.bootstrap import Units, resample_people
from fer_mlops.metrics.calibration import expected_calibration_error, nll_of_each
from fer_mlops.metrics.identities import unnamed_identity
from fer_mlops.metrics.ranking import rank_faces, rank_resamples
from fer_mlops.models.calibration import Calibration

Probabilities = NDArray[np.float64]


def certain(predictions: NDArray[np.int64], confidence: float = 1.0) -> Probabilities:
    """Returns [n, 7] with ``confidence`` on each prediction and the rest spread evenly."""
    table = np.full((len(predictions), 7), (1 - confidence) / 6)
    table[np.arange(len(predictions)), predictions] = confidence
    return table


def own_person(n: int) -> NDArray[np.str_]:
    return np.array([f"p{i:04}" for i in range(n)])


def one_wrong_in_five(n: int) -> tuple[NDArray[np.int64], Probabilities]:
    """Returns ``n`` faces of two emotions, every fifth predicted as the other one."""
    labels = np.arange(n) // 5 % 2 + 3
    return labels, certain(np.where(np.arange(n) % 5 == 0, 7 - labels, labels))


def width(estimate: Estimate) -> float:
    return estimate.high - estimate.low


# ── numbers worked by hand ──


def test_nll_is_the_mean_of_minus_log_p_of_the_label() -> None:
    labels = np.array([0, 1, 2])
    probabilities = np.array([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0], [0.0, 0.0, 1.0]])
    expected = (math.log(2) + math.log(4) + 0) / 3
    assert nll_of_each(labels, probabilities).mean() == pytest.approx(expected, abs=1e-12)


def test_nll_of_the_impossible_is_large_and_finite() -> None:
    (value,) = nll_of_each(np.array([1]), np.array([[1.0, 0.0]]))
    assert value == pytest.approx(12 * math.log(10))


def test_ece_is_the_mean_gap_between_confidence_and_accuracy_by_bin() -> None:
    # two faces at .90, one right: gap |1.80 - 1|; two at .62, both right: gap |1.24 - 2|
    labels = np.array([0, 0, 0, 0])
    probabilities = np.array([[0.9, 0.1], [0.1, 0.9], [0.62, 0.38], [0.62, 0.38]])
    assert expected_calibration_error(labels, probabilities) == pytest.approx((0.8 + 0.76) / 4)


def test_ece_cancels_within_a_bin_but_not_between_bins() -> None:
    labels = np.array([0, 0])
    together = np.array([[0.5, 0.4, 0.1], [0.4, 0.5, 0.1]])  # .5 and .5, one right
    apart = np.array([[0.6, 0.3, 0.1], [0.3, 0.4, 0.3]])  # .6 right, .4 wrong
    assert expected_calibration_error(labels, together) == pytest.approx(0)
    assert expected_calibration_error(labels, apart) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("confidences", "ece"),
    [
        ((0.48, 0.52), 0.0),  # both in [7/15, 8/15)
        ((0.95, 1.0), 0.475),  # both in the last bin, [14/15, 1]
        ((0.9, 1.0), 0.55),  # in the last two
    ],
)
def test_bins_are_fifteen_of_equal_width(confidences: tuple[float, float], ece: float) -> None:
    """The first face is right, the second wrong."""
    probabilities = certain(np.array([0, 1]), 0.0)
    probabilities[[0, 1], [0, 1]] = confidences
    assert expected_calibration_error(np.array([0, 0]), probabilities) == pytest.approx(ece)


def test_full_confidence_has_a_bin_too() -> None:
    assert expected_calibration_error(np.array([0, 0]), np.array([[1.0, 0.0], [0.0, 1.0]])) == 0.5


# ── intervals ──


def test_an_interval_is_as_wide_as_the_binomial_says_where_every_face_is_a_person() -> None:
    labels, probabilities = one_wrong_in_five(400)
    estimate = evaluate(labels, probabilities, own_person(400)).accuracy
    margin = 1.96 * math.sqrt(0.8 * 0.2 / 400)
    assert estimate.value == pytest.approx(0.8)
    assert estimate.low == pytest.approx(0.8 - margin, abs=0.008)
    assert estimate.high == pytest.approx(0.8 + margin, abs=0.008)


@pytest.mark.parametrize("num", [1, 2, 3, 4])
def test_fewer_than_five_people_have_no_interval(num: int) -> None:
    labels, probabilities = one_wrong_in_five(40)
    report = evaluate(labels, probabilities, np.array([f"p{i % num}" for i in range(40)]))
    assert report.num_people == num
    assert np.isfinite(report.accuracy.value)
    for name in HEADLINES:
        estimate = getattr(report, name)
        assert np.isnan([estimate.low, estimate.high]).all(), name
    assert str(report.accuracy) == "0.800 [–]"
    assert f"at least 5 people, here {num}" in report.units.caution
    assert not [name for name in report.metrics("test") if name.endswith(("_low", "_high"))]
    told = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert told["accuracy"] == {"value": pytest.approx(0.8), "low": None, "high": None}


def test_faces_that_are_all_right_have_no_interval_for_resamples_know_no_error() -> None:
    labels = np.tile([3, 4], 20)
    report = evaluate(labels, certain(labels), own_person(40))
    assert str(report.accuracy) == "1.000 [–]"
    assert np.isnan(report.macro_f1.high)


def test_an_emotion_of_four_people_has_no_interval_beside_one_of_many() -> None:
    labels = np.array([3] * 60 + [5] * 40)
    people = np.r_[own_person(60), np.array([f"few {i % 4}" for i in range(40)])]
    predictions = np.where(np.arange(100) % 4 == 0, 4, labels)  # all wrong of one of the few
    happiness, sadness = (evaluate(labels, certain(predictions), people).classes[i] for i in (3, 5))
    assert happiness.f1.low < happiness.f1.value < happiness.f1.high
    assert np.isnan([sadness.f1.low, sadness.f1.high]).all()


def test_intervals_over_unnamed_faces_say_so() -> None:
    labels, probabilities = one_wrong_in_five(40)
    faces = np.array([unnamed_identity(f"{i}.jpg") for i in range(40)])
    report = evaluate(labels, probabilities, faces)
    assert report.units == Units(num_people=0, num_unnamed=40)
    assert report.accuracy == evaluate(labels, probabilities, own_person(40)).accuracy


def test_taking_everyone_twice_does_not_narrow_an_interval() -> None:
    labels, probabilities = one_wrong_in_five(60)
    people = own_person(60)
    once = evaluate(labels, probabilities, people)
    doubled = np.tile(labels, 2), np.tile(probabilities, (2, 1))
    twice = evaluate(*doubled, np.tile(people, 2))
    strangers = evaluate(*doubled, own_person(120))
    assert twice.macro_f1 == once.macro_f1
    assert twice.accuracy == once.accuracy
    assert width(strangers.accuracy) < 0.85 * width(once.accuracy)
    assert (once.num_faces, twice.num_faces, twice.num_people) == (60, 120, 60)


@pytest.mark.parametrize("seed", range(5))
def test_an_interval_contains_its_value_and_lies_in_zero_to_one(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = generator.choice(7, 120, p=np.array([4, 1, 1, 8, 8, 2, 2]) / 26)
    probabilities = 0.8 * generator.dirichlet(np.ones(7), 120) + 0.2 * certain(labels)
    report = evaluate(labels, probabilities, own_person(120))
    scores = [report.accuracy, report.balanced_accuracy, report.macro_f1]
    scores += [row.f1 for row in report.classes if row.support >= 5 and 0 < row.f1.value < 1]
    for score in scores:
        assert 0 <= score.low <= score.value <= score.high <= 1


def test_the_same_seed_gives_the_same_report_and_another_seed_only_other_intervals() -> None:
    labels, probabilities = one_wrong_in_five(50)
    reports = [evaluate(labels, probabilities, own_person(50), seed=seed) for seed in (0, 0, 1)]
    assert reports[0].as_dict() == reports[1].as_dict()  # where nan is None, which equals itself
    assert reports[0].macro_f1 != reports[2].macro_f1
    assert reports[0].macro_f1.value == reports[2].macro_f1.value


def test_the_order_of_faces_does_not_matter() -> None:
    labels, probabilities = one_wrong_in_five(50)
    people = own_person(50)
    shuffled = np.random.default_rng(0).permutation(50)
    mixed = evaluate(labels[shuffled], probabilities[shuffled], people[shuffled])
    assert mixed.macro_f1 == evaluate(labels, probabilities, people).macro_f1


def test_an_estimate_reads_as_value_and_interval() -> None:
    assert str(Estimate(0.87654, 0.8, 0.95)) == "0.877 [0.800, 0.950]"


# ── reports ──


def test_a_report_states_counts_scores_and_confusion() -> None:
    labels = np.array([3, 3, 3, 4])
    report = evaluate(labels, certain(np.array([3, 3, 4, 4])), np.array(["a", "a", "b", "c"]))
    assert (report.num_faces, report.num_people) == (4, 3)
    assert report.accuracy.value == 0.75
    assert report.balanced_accuracy.value == pytest.approx((2 / 3 + 1) / 2)
    assert report.macro_f1.value == pytest.approx((0.8 + 2 / 3) / 2)
    assert report.confusion[3] == (0, 0, 0, 2, 1, 0, 0)
    assert report.confusion[4] == (0, 0, 0, 0, 1, 0, 0)
    assert [row.emotion for row in report.classes] == list(EMOTIONS)
    happiness = report.classes[3]
    assert (happiness.support, happiness.precision, happiness.f1.value) == (3, 1.0, 0.8)
    assert happiness.recall == pytest.approx(2 / 3)
    assert report.nll.value == pytest.approx(12 * math.log(10) / 4)
    assert report.brier.value == 2 / 4
    assert report.ece.value == 0.25


def test_a_model_that_predicts_one_emotion_is_found_where_the_labels_are_of_several() -> None:
    labels, happiness = np.arange(40) % 2 + 3, np.full(40, 3)
    nearly = np.where(np.arange(40) < 2, 0, happiness)
    assert evaluate(labels, certain(nearly), own_person(40)).one_emotion() == (
        "predicts happiness for 38 of 40"
    )
    assert evaluate(labels, certain(labels), own_person(40)).one_emotion() == ""
    mostly_happy = np.where(np.arange(40) < 4, 0, happiness)  # 90 %: such predictions may be good ones
    assert evaluate(mostly_happy, certain(happiness), own_person(40)).one_emotion() == ""


def test_a_model_that_is_no_better_than_one_emotion_for_every_face_is_found() -> None:
    labels = np.array([3] * 6 + [4] * 4)
    mixed = np.array([3] * 5 + [4] * 5)  # 5 of 6 and 4 of 4 are right
    swapped = np.array([4] * 3 + [3] * 5 + [4] * 2)  # 3 of 6 and 2 of 4 are right
    assert evaluate(labels, certain(mixed), own_person(10)).no_gain() == ""
    assert evaluate(labels, certain(swapped), own_person(10)).no_gain() == (
        "is right for 5 of 10, and always predicting happiness for 6 of 10"
    )


def test_an_absent_emotion_has_no_recall_and_no_f1() -> None:
    report = evaluate(np.array([3, 4]), certain(np.array([3, 4])), own_person(2))
    fear = report.classes[2]
    assert fear.support == 0
    assert all(math.isnan(x) for x in (fear.recall, fear.f1.value, fear.f1.low, fear.f1.high))


def test_a_report_is_json_without_nan_even_where_emotions_are_absent() -> None:
    report = evaluate(np.array([3, 4]), certain(np.array([3, 4])), own_person(2))
    read = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert read["classes"][2]["emotion"] == "fear"
    assert read["classes"][2]["recall"] is None
    assert read["classes"][2]["f1"] == {"value": None, "low": None, "high": None}
    assert read["accuracy"] == {"value": 1.0, "low": None, "high": None}
    assert read["confusion"][3] == [0, 0, 0, 1, 0, 0, 0]


def test_logged_scores_are_few_and_finite() -> None:
    report = evaluate(np.array([3, 4]), certain(np.array([3, 4])), own_person(2))
    flat = report.metrics("test")
    assert set(flat) == {
        f"test/{name}"
        for name in ("faces", "people", "accuracy", "balanced_accuracy", "macro_f1", "ece")
    }
    assert all(math.isfinite(value) for value in flat.values())
    assert not [one for one in flat for other in flat if other.startswith(f"{one}/")]
    assert (flat["test/faces"], flat["test/macro_f1"]) == (2, 1.0)


def test_confidence_measures_are_of_sure_answers_and_of_what_temperature_mended() -> None:
    labels = np.array([0, 0, 1, 2])
    logits = np.zeros((4, 7), dtype=np.float32)
    logits[[0, 1, 2, 3], [0, 0, 0, 2]] = [8, 6, 8, 2]
    calibration = Calibration(bias=(0.0,) * 7, temperature=2.0, prior_strength=1.0, threshold=0.8)
    metrics = confidence_measures(calibration, logits, labels)
    raw = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0).probabilities(logits)
    assert metrics == {
        "ece_before_temperature": expected_calibration_error(labels, raw),
        "answered_share": 0.5,  # confidences .90, .77, .90, .31
        "answered_error": 0.5,
    }
    never = dataclasses.replace(calibration, threshold=2.0)
    assert "answered_error" not in confidence_measures(never, logits, labels)


# ── against scikit-learn ──


def messy(n: int, seed: int) -> tuple[NDArray[np.int64], Probabilities]:
    """Returns labels of six of the emotions and probabilities with many ties."""
    generator = np.random.default_rng(seed)
    labels = generator.choice([0, 1, 3, 4, 5, 6], n)
    probabilities = generator.dirichlet(np.ones(7), n).round(2) + 0.01
    return labels, probabilities / probabilities.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
def test_every_score_is_that_of_scikit_learn(seed: int) -> None:
    labels, probabilities = messy(200, seed)
    report = evaluate(labels, probabilities, own_person(200))
    predictions, present = probabilities.argmax(1), [0, 1, 3, 4, 5, 6]
    one_hot = np.eye(7)[labels]
    expected = {
        "accuracy": sklearn.accuracy_score(labels, predictions),
        "balanced_accuracy": sklearn.recall_score(labels, predictions, labels=present, average="macro"),
        "macro_f1": sklearn.f1_score(labels, predictions, labels=present, average="macro"),
        "auroc": np.mean([sklearn.roc_auc_score(one_hot[:, c], probabilities[:, c]) for c in present]),
        "average_precision": np.mean(
            [sklearn.average_precision_score(one_hot[:, c], probabilities[:, c]) for c in present]
        ),
        "nll": sklearn.log_loss(labels, probabilities, labels=range(7)),
        "brier": ((probabilities - one_hot) ** 2).sum(1).mean(),
    }
    for name, value in expected.items():
        assert getattr(report, name).value == pytest.approx(value, abs=1e-12), name


def test_resampled_ranks_are_those_of_faces_repeated_as_often_as_drawn() -> None:
    labels, probabilities = messy(40, 5)
    resamples = resample_people(np.arange(40).astype(str), num=6)
    ranking = rank_resamples(labels, probabilities, resamples)
    for weights, auroc, precision in zip(
        resamples.weights[:, resamples.person], ranking.auroc, ranking.average_precision, strict=True
    ):
        rows = np.repeat(np.arange(40), weights.astype(int))
        alone = rank_faces(labels[rows], probabilities[rows])
        np.testing.assert_allclose(auroc, alone.auroc, atol=1e-12)
        np.testing.assert_allclose(precision, alone.average_precision, atol=1e-12)


def test_faces_of_one_emotion_cannot_be_ranked() -> None:
    report = evaluate(np.array([3, 3]), certain(np.array([3, 4])), own_person(2))
    assert math.isnan(report.auroc.value)
    assert report.as_dict()["auroc"] == {"value": None, "low": None, "high": None}


def test_the_interval_of_the_calibration_error_is_moved_onto_it() -> None:
    # perfectly calibrated at .8: drawn again, a gap opens by chance and is never negative
    labels, probabilities = one_wrong_in_five(400)
    probabilities = probabilities * 0.8 + (1 - probabilities) * (0.2 / 6)
    report = evaluate(labels, probabilities, own_person(400))
    assert report.ece.value == pytest.approx(0, abs=1e-9)
    assert report.ece.low == 0
    assert 0 < report.ece.high < 0.06


@pytest.mark.slow
def test_two_thousand_resamples_of_two_thousand_faces_take_two_seconds() -> None:
    labels, probabilities = messy(2000, 1)
    start = time.perf_counter()
    evaluate(labels, probabilities, np.array([f"p{i // 2}" for i in range(2000)]))
    assert time.perf_counter() - start < 8  # two, and room for a busy machine
