"""Scores from confusion counts, held against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as reference

from fer_mlops.metrics.classification import (
    accuracy,
    balanced_accuracy,
    confusion_counts,
    macro_f1,
    per_class,
)

Faces = tuple[NDArray[np.int64], NDArray[np.int64]]

EXACT = {"rtol": 0, "atol": 1e-12}


def faces(labels: list[int], predictions: list[int]) -> Faces:
    """Returns 90 faces of these labels, half of them predicted right, the others anyhow."""
    generator = np.random.default_rng(0)
    truth = generator.choice(labels, 90)
    guesses = np.where(generator.random(90) < 0.5, truth, generator.choice(predictions, 90))
    return truth, guesses


EVERY = np.arange(21) % 7
WORLDS: dict[str, Faces] = {
    "all seven": faces(list(range(7)), list(range(7))),
    "fear and disgust have no face": faces([0, 3, 4, 5, 6], [0, 3, 4, 5, 6]),
    "fear has no face but is predicted": faces([0, 1, 3, 4, 5, 6], list(range(7))),
    "always neutral": (EVERY, np.full(21, 4)),
    "fear is never predicted": (EVERY, np.where(EVERY == 2, 4, EVERY)),
    "all wrong": (EVERY, (EVERY + 1) % 7),
    "one face": (np.array([3]), np.array([3])),
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> Faces:
    return WORLDS[request.param]


def test_counts_are_those_of_scikit_learn(world: Faces) -> None:
    counts = confusion_counts(*world)
    np.testing.assert_array_equal(counts, reference.confusion_matrix(*world, labels=range(7)))
    assert counts.dtype == np.int64


def test_each_class_scores_as_in_scikit_learn(world: Faces) -> None:
    own = per_class(confusion_counts(*world))
    precision, recall, f1, support = reference.precision_recall_fscore_support(
        *world, labels=range(7), zero_division=0.0
    )
    present = support > 0
    np.testing.assert_array_equal(own.support, support)
    np.testing.assert_allclose(own.precision, precision, **EXACT)
    np.testing.assert_allclose(own.recall[present], recall[present], **EXACT)
    np.testing.assert_allclose(own.f1[present], f1[present], **EXACT)


def test_a_class_without_faces_has_no_recall_and_no_f1(world: Faces) -> None:
    own = per_class(confusion_counts(*world))
    absent = own.support == 0
    np.testing.assert_array_equal(np.isnan(own.recall), absent)
    np.testing.assert_array_equal(np.isnan(own.f1), absent)


def test_summaries_are_those_of_scikit_learn_over_classes_that_have_faces(world: Faces) -> None:
    counts = confusion_counts(*world)
    mean = {"labels": np.unique(world[0]), "average": "macro", "zero_division": 0.0}
    np.testing.assert_allclose(accuracy(counts), reference.accuracy_score(*world), **EXACT)
    np.testing.assert_allclose(
        balanced_accuracy(counts), reference.recall_score(*world, **mean), **EXACT
    )
    np.testing.assert_allclose(macro_f1(counts), reference.f1_score(*world, **mean), **EXACT)


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    world = WORLDS["all seven"]
    np.testing.assert_allclose(
        balanced_accuracy(confusion_counts(*world)), reference.balanced_accuracy_score(*world), **EXACT
    )


@pytest.mark.parametrize("score", [accuracy, balanced_accuracy, macro_f1])
def test_a_batch_of_counts_scores_as_each_alone(score: object) -> None:
    assert callable(score)
    each = [confusion_counts(*world) for world in WORLDS.values()]
    batch = score(np.stack(each))
    assert batch.shape == (len(WORLDS),)
    np.testing.assert_array_equal(batch, [score(counts) for counts in each])


def test_classes_of_a_batch_score_as_each_alone() -> None:
    each = [confusion_counts(*world) for world in WORLDS.values()]
    batch = per_class(np.stack(each))
    for name in ("precision", "recall", "f1", "support"):
        alone = np.stack([getattr(per_class(counts), name) for counts in each])
        np.testing.assert_array_equal(getattr(batch, name), alone)


def test_weights_need_not_be_whole_numbers() -> None:
    counts = confusion_counts(*WORLDS["all seven"])
    np.testing.assert_allclose(macro_f1(counts * 0.25), macro_f1(counts), **EXACT)


def test_scores_of_no_face_at_all_are_zero_and_no_crash() -> None:
    nothing = np.zeros((7, 7))
    assert (accuracy(nothing), balanced_accuracy(nothing), macro_f1(nothing)) == (0, 0, 0)


def test_scores_worked_by_hand() -> None:
    counts = np.array([[3, 1], [2, 4]])
    own = per_class(counts)
    np.testing.assert_allclose(own.precision, [3 / 5, 4 / 5])
    np.testing.assert_allclose(own.recall, [3 / 4, 4 / 6])
    np.testing.assert_allclose(own.f1, [6 / 9, 8 / 11])
    assert float(accuracy(counts)) == pytest.approx(7 / 10)
    assert float(balanced_accuracy(counts)) == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert float(macro_f1(counts)) == pytest.approx((6 / 9 + 8 / 11) / 2)


def test_a_row_is_the_label_and_a_column_the_prediction() -> None:
    counts = confusion_counts(np.array([0, 0, 1]), np.array([1, 1, 1]), num_classes=2)
    assert counts.tolist() == [[0, 2], [0, 1]]
