"""People are drawn, with all their faces."""

from __future__ import annotations

import numpy as np
import pytest

from fer_mlops.resampling import Resamples, bootstrap_p, holm, interval, resample_people

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
    assert drawn.face_weights().tolist() == [[1, 1, 1, 1], [2, 0, 2, 1]]


def test_an_interval_leaves_out_resamples_without_a_score() -> None:
    low, high = interval(np.array([np.nan, *np.arange(101.0)]))
    assert (low, high) == (2.5, 97.5)
    assert np.isnan(interval(np.array([np.nan]))).all()


def test_holm_multiplies_the_smallest_by_all_and_never_goes_down() -> None:
    adjusted = holm(np.array([0.01, np.nan, 0.04, 0.03, 0.9]))
    np.testing.assert_allclose(adjusted, [0.04, np.nan, 0.09, 0.09, 0.9])


def test_the_p_value_counts_the_rarer_sign_twice_and_is_never_zero() -> None:
    assert bootstrap_p(np.array([1.0] * 99)) == pytest.approx(2 / 100)
    assert bootstrap_p(np.array([1.0] * 89 + [-1.0] * 10)) == pytest.approx(22 / 100)
    assert bootstrap_p(np.array([1.0, -1.0])) == 1.0


def test_holm_of_nothing_is_nothing_and_of_one_is_itself() -> None:
    assert holm([]).tolist() == []
    assert holm([0.02]).tolist() == [0.02]
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
