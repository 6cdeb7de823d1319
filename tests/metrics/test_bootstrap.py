"""People are drawn, with all their faces."""

from __future__ import annotations

import numpy as np
import pytest

from fer_mlops.metrics.bootstrap import Resamples, Units, holm, interval, p_of, resample_people
from fer_mlops.metrics.identities import unnamed_identity

PEOPLE = np.array(["b", "a", "b", "c"])


def test_as_many_people_are_drawn_as_there_are() -> None:
    drawn = resample_people(PEOPLE, num=50)
    assert drawn.person.tolist() == [1, 0, 1, 2]
    assert drawn.weights.shape == (50, 3)
    assert (drawn.weights.sum(1) == 3).all()
    assert (drawn.weights == resample_people(PEOPLE, num=50).weights).all()
    assert (drawn.weights != resample_people(PEOPLE, num=50, seed=1).weights).any()


def test_totals_and_means_are_those_of_the_faces_drawn() -> None:
    drawn = Resamples(np.array([1, 0, 1, 2]), np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]]))
    values = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0], [4.0, 40.0]])
    assert drawn.totals(values).tolist() == [[10, 100], [12, 120]]
    assert drawn.means(values[:, 0]).tolist() == [2.5, 2.4]
    assert drawn.count(np.array([True, False, True, False])) == 1


def test_an_interval_leaves_out_resamples_without_a_score() -> None:
    scores = np.array([np.nan, *np.arange(1001.0)])
    low, high = interval(scores, 10**6)  # of so many people it is that of the plain percentiles
    assert (low, high) == pytest.approx((25, 975), abs=0.01)
    assert np.isnan(interval(np.array([np.nan]), 100)).all()


def test_an_interval_is_wider_with_few_people_and_none_below_five() -> None:
    scores = np.arange(1001.0)
    widths = [high - low for low, high in (interval(scores, num) for num in (5, 10, 30, 1000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == pytest.approx(1000, abs=3)
    for num in (1, 2, 3, 4):
        assert np.isnan(interval(scores, num)).all()


@pytest.mark.parametrize(("num", "least"), [(5, 0.88), (10, 0.92), (30, 0.93)])
def test_an_interval_over_people_covers_the_true_score(num: int, least: float) -> None:
    """Of people with accuracies Beta(8, 2), 20 faces each: .91, .94, .95 of 95% intervals. Plain
    percentiles reach .84, .90, .93."""
    generator = np.random.default_rng(num)
    people = np.array([f"p{i:02}" for i in range(num)])
    resamples = resample_people(people)
    truth = generator.beta(8, 2, (600, num))
    scores = generator.binomial(20, truth) / 20
    found = [interval(resamples.means(one), num) for one in scores]
    covered = np.mean([low <= 0.8 <= high for low, high in found])
    assert least <= covered <= 0.98


def test_holm_multiplies_the_smallest_by_all_and_never_goes_down() -> None:
    adjusted = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.9]))
    np.testing.assert_allclose(adjusted, [0.04, np.nan, 0.09, 0.09, 0.9])


def test_holm_over_more_tests_than_are_given_takes_the_others_for_larger() -> None:
    np.testing.assert_allclose(holm([0.01, 0.002], 6), [0.05, 0.012])
    everything = holm([0.01, 0.002, 0.3, 0.4, 0.5, 0.6])
    np.testing.assert_allclose(everything[:2], [0.05, 0.012])


def test_a_p_value_is_that_of_students_t() -> None:
    resampled = np.tile([-1.0, 1.0], 500)
    assert p_of(2.262157 * np.sqrt(10 / 9), resampled, 10) == pytest.approx(0.05, abs=1e-6)
    assert p_of(-2.262157 * np.sqrt(10 / 9), resampled, 10) == pytest.approx(0.05, abs=1e-6)
    assert p_of(2.262157 * 2, resampled, 10, least_error=2) == pytest.approx(0.05, abs=1e-6)
    assert p_of(0.0, np.zeros(1000), 100) == 1.0
    assert p_of(1.0, np.ones(1000), 100) == 0.0


def test_there_is_no_p_value_below_ten_people() -> None:
    for num in range(1, 10):
        assert np.isnan(p_of(1.0, np.ones(1000), num))
    assert np.isnan(p_of(np.nan, np.full(1000, np.nan), 100))


@pytest.mark.parametrize("num_models", [2, 5, 10, 20])
def test_the_best_of_equal_models_is_falsely_called_better_in_at_most_6_of_100(num_models: int) -> None:
    """Corrected for the K - 1 matches of the best alone it would be 23 of 100 with 20 models."""
    generator = np.random.default_rng(num_models)
    num_people, faces = 60, 5
    weights = resample_people(np.array([f"p{i:02}" for i in range(num_people)])).weights / num_people
    alarms = []
    for _ in range(200):
        ease = generator.beta(6, 2, num_people)
        scores = generator.binomial(faces, ease, (num_models, num_people)) / faces
        scores = scores[np.argsort(-scores.mean(1))]
        gaps = scores[0] - scores[1:]
        drawn = gaps @ weights.T
        found = [p_of(gap.mean(), one, num_people) for gap, one in zip(gaps, drawn, strict=True)]
        adjusted = holm(found, num_models * (num_models - 1) // 2)
        alarms.append(adjusted.min() < 0.05)
    assert np.mean(alarms) <= 0.06


def test_what_is_resampled_is_said_in_words() -> None:
    unnamed = [unnamed_identity(f"{i}.jpg") for i in range(40)]
    named = Units.of(np.array(["anna", "anna", "ben"]))
    nobody = Units.of(np.array(unnamed))
    some = Units.of(np.array(["anna", *unnamed[:1]]))
    assert (named.num, named.over) == (2, "over people")
    assert (nobody.num, nobody.over) == (40, "over faces, taken as independent: nobody is named")
    assert (some.num_people, some.num_unnamed, some.num) == (1, 1, 2)
    assert some.over == "over people, and over 1 face that names nobody, taken as independent"
    assert named.caution == "No intervals: they need at least 5 people, here 2."
    assert nobody.caution == ""
    assert "With only 29 faces the intervals are rough" in Units(0, 29).caution


def test_holm_of_nothing_is_nothing_and_of_one_is_itself() -> None:
    assert holm([]).tolist() == []
    assert holm([0.02]).tolist() == [0.02]
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
