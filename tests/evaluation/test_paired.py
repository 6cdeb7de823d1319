"""Two classifiers on the same faces, against cases worked by hand."""

from __future__ import annotations

import json
import math
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.evaluation.paired import mcnemar, pair
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.metrics.classification import confusion_counts, macro_f1
from fer_mlops.models.calibration import Calibration

PLAIN = Calibration(bias=(0.0,) * 7, temperature=1.0, prior_strength=1.0)


def answers(labels: list[int], given: list[int], people: list[str] | None = None) -> LabelledPredictions:
    """Returns answers that give each face the emotion ``given``."""
    texts = np.array([""] * len(labels))
    table = FaceTable(
        name="few",
        root=Path(),
        paths=tuple(f"{i}.png" for i in range(len(labels))),
        labels=np.array(labels, dtype=np.int64),
        identities=np.array(people or [f"p{i}" for i in range(len(labels))]),
        sources=texts,
        parts=texts,
    )
    logits = (5.0 * np.eye(7)[given]).astype(np.float32).reshape(-1, 7)
    return LabelledPredictions(table=table, logits=logits, calibration=PLAIN)


def test_mcnemars_test_is_exact() -> None:
    by_hand = 2 * sum(math.comb(6, k) for k in (0, 1)) / 2**6
    assert mcnemar(5, 1).p == pytest.approx(by_hand) == pytest.approx(0.21875)
    for only_a, only_b in ((0, 3), (12, 30), (7, 7)):
        assert mcnemar(only_a, only_b).p == binomtest(only_b, only_a + only_b).pvalue
    assert mcnemar(0, 0).p == 1.0


def test_the_faces_that_one_alone_has_right_are_counted_by_emotion() -> None:
    labels = [0, 0, 0, 3, 3, 4]
    pairing = pair(answers(labels, [0, 0, 1, 3, 4, 4]), answers(labels, [0, 1, 0, 4, 4, 3]))
    assert (pairing.mcnemar.only_a, pairing.mcnemar.only_b) == (3, 1)
    anger, happiness = pairing.classes[0], pairing.classes[3]
    counts = (anger.both, anger.only_a, anger.only_b, anger.neither)
    assert (anger.emotion, anger.support, counts) == ("anger", 3, (1, 1, 1, 0))
    assert (happiness.both, happiness.only_a, happiness.only_b, happiness.neither) == (0, 1, 0, 1)
    assert (happiness.recall.a, happiness.recall.b, happiness.recall.value) == (0.5, 0.0, 0.5)
    assert pairing.accuracy.value == pytest.approx(4 / 6 - 2 / 6)
    assert pairing.classes[1].support == 0
    assert math.isnan(pairing.classes[1].recall.value)


def test_the_bootstrap_is_that_of_all_draws_of_people() -> None:
    # five people, one with two faces: 3125 draws, each as likely as another
    labels, people = [0, 3, 3, 0, 0, 3], ["a", "a", "b", "c", "d", "e"]
    given = [0, 3, 3, 3, 0, 3], [0, 4, 4, 0, 0, 3]
    gaps = []
    for draw in product("abcde", repeat=5):
        rows = [row for person in draw for row, whose in enumerate(people) if whose == person]
        scores = [
            float(macro_f1(confusion_counts(np.array(labels)[rows], np.array(one)[rows])))
            for one in given
        ]
        gaps.append(scores[0] - scores[1])
    exact = np.round(gaps, 12)
    above, ties = (exact > 0).mean(), (exact == 0).mean()
    found = pair(answers(labels, given[0], people), answers(labels, given[1], people)).macro_f1
    assert found.probability == pytest.approx(above + ties / 2, abs=0.03)
    assert exact.min() <= found.low < np.quantile(exact, 0.025)
    assert np.quantile(exact, 0.975) < found.high <= exact.max()


def test_people_are_drawn_and_not_faces() -> None:
    # one person is all of A's lead: without that person, in (9/10)^10 of the draws, there is none
    labels, people = [0] * 36, ["x"] * 27 + [f"p{i}" for i in range(9)]
    two = answers(labels, [0] * 36, people), answers(labels, [1] * 27 + [0] * 9, people)
    found = pair(*two).accuracy
    assert found.value == 0.75
    assert found.low == 0
    assert not found.is_clear
    assert found.probability == pytest.approx(1 - 0.9**10 / 2, abs=0.02)
    alone = pair(answers(labels, [0] * 36), answers(labels, [1] * 27 + [0] * 9)).accuracy
    assert alone.low > 0.5
    assert alone.p < 0.001


@pytest.mark.parametrize("num", [1, 2, 3, 5, 9])
def test_few_people_have_no_p_and_fewer_than_five_no_interval(num: int) -> None:
    labels = [0, 3, 4] * 30
    people = [f"p{i % num}" for i in range(90)]
    pairing = pair(answers(labels, labels, people), answers(labels, [0] * 90, people))
    for gap in (pairing.macro_f1, pairing.balanced_accuracy, pairing.accuracy):
        assert gap.value > 0.5
        assert math.isnan(gap.p)
        assert math.isnan(gap.low) == math.isnan(gap.probability) == (num < 5)
        assert gap.is_clear == (num >= 5)
    assert pairing.mcnemar.only_a == 60
    assert math.isnan(pairing.mcnemar.p)
    json.dumps(pairing.as_dict(), allow_nan=False)


def test_identical_models_do_not_differ() -> None:
    labels = [0, 1, 2, 3, 4, 5, 6, 3, 3, 3]
    one = answers(labels, [0, 1, 2, 3, 4, 5, 5, 4, 3, 3])
    pairing = pair(one, one)
    for gap in (pairing.macro_f1, pairing.balanced_accuracy, pairing.accuracy):
        assert (gap.value, gap.low, gap.high, gap.probability, gap.p) == (0, 0, 0, 0.5, 1)
        assert not gap.is_clear
    assert pairing.mcnemar.p == 1


def test_the_other_way_round_is_the_opposite() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 7, 60).tolist()
    people = [f"p{number}" for number in generator.integers(0, 20, 60)]
    given = [
        [x if u < share else 3 for x, u in zip(labels, generator.random(60), strict=True)]
        for share in (0.8, 0.5)
    ]
    forth = pair(*(answers(labels, one, people) for one in given))
    back = pair(*(answers(labels, one, people) for one in reversed(given)))
    assert forth.macro_f1.value == -back.macro_f1.value > 0
    assert (forth.macro_f1.low, forth.macro_f1.high) == pytest.approx(
        (-back.macro_f1.high, -back.macro_f1.low)
    )
    assert forth.macro_f1.probability == pytest.approx(1 - back.macro_f1.probability)
    assert forth.macro_f1.p == back.macro_f1.p
    other = pair(*(answers(labels, one, people) for one in given), seed=1)
    assert other.macro_f1.value == forth.macro_f1.value
    assert other.macro_f1.low != forth.macro_f1.low


def test_each_model_is_read_at_the_operating_point_asked_for() -> None:
    one = answers([0, 3], [0, 0])
    leaning = Calibration(
        bias=(0.0,) * 7,
        temperature=1.0,
        prior_strength=0.0,
        log_prior=tuple(20.0 * (emotion == "happiness") for emotion in EMOTIONS),
    )
    other = LabelledPredictions(table=one.table, logits=one.logits, calibration=leaning)
    assert pair(other, one).mcnemar.only_a == 0
    natural = pair(other, one, "natural")
    assert (natural.operating_point, natural.mcnemar.only_a, natural.mcnemar.only_b) == ("natural", 1, 1)


def test_answers_about_other_faces_are_refused() -> None:
    with pytest.raises(DataError, match="different faces"):
        pair(answers([0, 1], [0, 1]), answers([0], [0]))
    with pytest.raises(DataError, match="different faces or labels"):
        pair(answers([0, 1], [0, 1]), answers([1, 0], [0, 1]))
    with pytest.raises(DataError, match="no predictions to compare"):
        pair(answers([], []), answers([], []))


def test_a_pairing_is_json_with_none_where_there_is_no_number() -> None:
    plain = json.loads(
        json.dumps(pair(answers([0, 3] * 5, [0, 3] * 5), answers([0, 3] * 5, [0] * 10)).as_dict())
    )
    assert plain["accuracy"]["value"] == 0.5
    assert plain["classes"][1]["recall"]["value"] is None
    assert plain["mcnemar"] == {"only_a": 5, "only_b": 0, "p": 0.0625}


def test_two_thousand_resamples_of_two_thousand_faces_are_quick() -> None:
    generator = np.random.default_rng(0)
    labels, people = generator.integers(0, 7, 2000).tolist(), generator.integers(0, 1400, 2000)
    names = [f"p{number}" for number in people]
    one, two = (answers(labels, generator.integers(0, 7, 2000).tolist(), names) for _ in range(2))
    start = time.process_time()
    pair(one, two)
    assert time.process_time() - start < 2
