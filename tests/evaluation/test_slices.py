"""Faces that share a trait against all others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_mlops.data.file_info import FileRecord
from fer_mlops.data.table import Row, make_table
from fer_mlops.evaluation.slices import Trait, slice_faces, traits_of
from fer_mlops.metrics.identities import unnamed_identity

HAPPINESS, NEUTRAL = 3, 4


def certain(predictions: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.eye(7)[predictions]


def people(n: int) -> NDArray[np.str_]:
    return np.array([f"p{i:04}" for i in range(n)])


def halves(n: int) -> Trait:
    """Returns a trait whose first half is ``old`` and second ``young``."""
    return Trait("age", np.array(["old"] * (n // 2) + ["young"] * (n // 2)))


def test_the_gap_is_accuracy_less_what_others_have_at_the_same_emotions() -> None:
    # old: 40 happy, all right; young: 20 happy of which 15 right, 20 neutral of which 5 right
    labels = np.array([HAPPINESS] * 40 + [HAPPINESS] * 20 + [NEUTRAL] * 20)
    wrong = 7 - labels
    is_right = np.array([True] * 40 + [True] * 15 + [False] * 5 + [True] * 5 + [False] * 15)
    predictions = np.where(is_right, labels, wrong)
    found = slice_faces(labels, certain(predictions), people(80), [halves(80)]).slices
    old, young = found
    assert (old.value, old.num_faces, old.accuracy.value) == ("old", 40, 1.0)
    assert young.accuracy.value == pytest.approx(20 / 40)
    assert old.gap.value == pytest.approx(1.0 - 15 / 20)  # young have .75 of the happy right
    assert np.isnan(young.gap.value)  # the others have no neutral face: 20 comparable are too few


def test_a_slice_of_harder_emotions_is_not_blamed_for_them() -> None:
    generator = np.random.default_rng(0)
    labels = np.r_[
        generator.choice([3, 4], 200, p=[0.9, 0.1]), generator.choice([3, 4], 200, p=[0.1, 0.9])
    ]
    is_right = generator.random(400) < np.where(labels == HAPPINESS, 0.95, 0.5)
    predictions = np.where(is_right, labels, 7 - labels)
    found = slice_faces(labels, certain(predictions), people(400), [halves(400)])
    easy, hard = found.slices
    assert hard.accuracy.value < easy.accuracy.value - 0.3
    assert not hard.is_significant
    assert hard.gap.low < 0 < hard.gap.high


def test_a_slice_served_worse_is_found_and_named_worst() -> None:
    generator = np.random.default_rng(1)
    labels = generator.choice([3, 4], 400)
    is_right = generator.random(400) < np.repeat([0.9, 0.6], 200)
    predictions = np.where(is_right, labels, 7 - labels)
    found = slice_faces(labels, certain(predictions), people(400), [halves(400)])
    assert found.worst is not None
    assert (found.worst.value, found.worst.is_significant) == ("young", True)
    assert found.worst_gap == pytest.approx(0.3, abs=0.1)


def test_people_not_faces_are_resampled() -> None:
    """The same faces say less of ten people than of a hundred, and of one person nothing."""
    labels = np.tile([3, 4], 100)
    predictions = np.r_[labels[:100], 7 - labels[100:160], labels[160:]]
    widths = {}
    for num in (1, 10, 100):
        identities = np.r_[people(100), np.array([f"slice {i * num // 100}" for i in range(100)])]
        young = slice_faces(labels, certain(predictions), identities, [halves(200)]).slices[1]
        assert young.num_people == num
        assert young.accuracy.value == 0.4
        widths[num] = young.accuracy.high - young.accuracy.low
    assert np.isnan(widths[1])
    assert 0 < widths[100] < widths[10] / 2


@pytest.mark.parametrize("num", [1, 2, 3, 5, 9])
@pytest.mark.parametrize("is_inside", [True, False])
def test_fewer_than_ten_people_inside_or_outside_have_no_p_value(num: int, is_inside: bool) -> None:
    labels = np.tile([3, 4], 200)
    few = np.array([f"few {i % num}" for i in range(200)])
    identities = np.r_[few, people(200)] if is_inside else np.r_[people(200), few]
    predictions = np.r_[7 - labels[:200], labels[200:]]
    found = slice_faces(labels, certain(predictions), identities, [halves(400)])
    for one in found.slices:
        assert np.isnan([one.p_value, one.adjusted_p]).all()
        assert not one.is_significant
        assert one.why_no_p.startswith("fewer than ")
    assert found.num_tested == 0


def test_a_slice_of_four_people_has_no_interval() -> None:
    labels = np.tile([3, 4], 200)
    identities = np.r_[np.array([f"few {i % 4}" for i in range(200)]), people(200)]
    predictions = np.where(np.arange(400) % 4 == 0, 7 - labels, labels)
    few, many = slice_faces(labels, certain(predictions), identities, [halves(400)]).slices
    for score in (few.accuracy, few.macro_f1, few.gap):
        assert np.isfinite(score.value)
        assert np.isnan([score.low, score.high]).all()
    assert many.accuracy.low < many.accuracy.value < many.accuracy.high


def false_alarms(num_inside: int, faces: int, accuracy: float | tuple[float, float]) -> float:
    """Returns how often a slice is called different that is not, of 80 draws of people."""
    generator = np.random.default_rng(num_inside)
    person = np.repeat(np.arange(num_inside + 60), faces)
    is_inside = person < num_inside
    names = np.array([f"p{i:03}" for i in person])
    trait = Trait("age", np.where(is_inside, "old", ""))
    alarms = []
    for _ in range(80):
        labels = generator.choice([0, 3, 4], len(person), p=[0.1, 0.5, 0.4])
        chance = accuracy
        if isinstance(accuracy, tuple):
            chance = generator.beta(*accuracy, num_inside + 60)[person]
        predictions = np.where(generator.random(len(person)) < chance, labels, (labels + 1) % 7)
        (one,) = slice_faces(labels, certain(predictions), names, [trait]).slices
        alarms.append(one.is_significant)
    return float(np.mean(alarms))


@pytest.mark.parametrize(
    ("num_inside", "faces", "accuracy"),
    [(10, 5, (8.0, 2.0)), (10, 3, 0.95), (12, 3, 0.05)],
)
def test_a_slice_of_ten_people_and_more_is_falsely_called_different_in_at_most_8_of_100(
    num_inside: int, faces: int, accuracy: float | tuple[float, float]
) -> None:
    """Resamples alone say so of 19 in 100 where nearly all faces are right: in a slice where all are,
    they know no error."""
    assert false_alarms(num_inside, faces, accuracy) <= 0.08


def test_one_of_many_slices_can_be_significant() -> None:
    generator = np.random.default_rng(0)
    labels = np.tile([3, 4], 1300)
    place = np.repeat(np.arange(52), 50)
    predictions = np.where(place == 0, 7 - labels, labels)
    traits = [Trait("place", np.array([f"{i:02}" for i in place]))]
    found = slice_faces(labels, certain(predictions), people(2600), traits)
    worst = found.worst
    assert worst is not None
    assert (len(found.slices), worst.value, worst.gap.value) == (52, "00", -1.0)
    assert worst.adjusted_p < 0.001
    shuffled = [Trait("place", generator.permutation(traits[0].values))]
    equal = slice_faces(labels, certain(predictions), people(2600), shuffled)
    assert not any(one.is_significant for one in equal.slices)


def test_slices_without_a_gap_do_not_count_as_tests() -> None:
    labels = np.tile([3, 4], 100)
    is_right = np.r_[np.arange(100) % 20 > 0, np.arange(100) % 4 > 0]
    probabilities = certain(np.where(is_right, labels, 7 - labels))
    few = np.array([str(i) for i in range(40) for _ in range(5)])
    alone = slice_faces(labels, probabilities, people(200), [halves(200)])
    beside = slice_faces(labels, probabilities, people(200), [halves(200), Trait("few", few)])
    assert len(beside.slices) == 42
    assert alone.num_tested == beside.num_tested == 2
    assert beside.slices[1].adjusted_p == alone.slices[1].adjusted_p < 0.05


def test_the_worst_gap_is_unknown_where_none_compares() -> None:
    labels = np.tile([3, 4], 10)
    found = slice_faces(labels, certain(labels), people(20), [halves(20)])
    assert np.isnan(found.worst_gap)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["worst_gap"] is None


def table_of(tmp_path: Path, ages: list[str], sources: list[str]) -> object:
    rows = [
        Row(f"{i}.png", "happiness", f"p{i}", source, columns={"age": age})
        for i, (age, source) in enumerate(zip(ages, sources, strict=True))
    ]
    return make_table("faces", tmp_path, rows, [])


def record(width: int, chroma: float, brightness: float) -> FileRecord:
    return FileRecord(width=width, height=width + 10, chroma=chroma, brightness=brightness)


def test_traits_come_from_files_source_and_columns_and_one_valued_ones_are_left_out(
    tmp_path: Path,
) -> None:
    ages = ["old", "", "young", "old", "young"]
    table = table_of(tmp_path, ages, ["web"] * 5)
    sides, shades = (50, 100, 224, 224, 224), (10, 20, 100, 200, 250)
    records = [record(sides[i], 20.0 if i else 0.0, shades[i]) for i in range(5)]
    traits = {trait.name: trait.values.tolist() for trait in traits_of(table, records)}  # type: ignore[arg-type]
    assert traits == {
        "resolution": ["under 64 px", "64 to 127 px", *["128 px and more"] * 3],
        "colour": ["gray", *["colour"] * 4],
        "brightness": ["dark", "dark", "medium", "bright", "bright"],
        "age": ages,
    }


def column(tmp_path: Path, values: list[str]) -> list[str] | None:
    """Returns what a column of the faces' table is sliced by; None where it is not."""
    table = table_of(tmp_path, values, ["web"] * len(values))
    traits = traits_of(table, [record(99, 0, 0)] * len(values))  # type: ignore[arg-type]
    found = {trait.name: sorted(set(trait.values.tolist())) for trait in traits}
    return found.get("age")


def test_many_numbers_become_thirds(tmp_path: Path) -> None:
    assert column(tmp_path, [str(i) for i in range(30)]) == [
        "9.66667 to 19.3333",
        "over 19.3333",
        "up to 9.66667",
    ]


def test_of_many_texts_those_that_many_faces_share_divide(tmp_path: Path) -> None:
    names = ["anna"] * 40 + ["ben"] * 30 + ["cleo"] * 29 + [f"name {i}" for i in range(25)]
    assert column(tmp_path, names) == ["anna", "ben", "other"]


@pytest.mark.parametrize("num", [8, 60, 300])
def test_a_column_of_texts_that_are_each_face_s_own_is_not_sliced_by(tmp_path: Path, num: int) -> None:
    assert column(tmp_path, [f"https://example.org/{i:0200}.jpg" for i in range(num)]) is None
    assert column(tmp_path, [f"photo {i // 2} of someone" for i in range(num)][: num - 1]) is None
    assert column(tmp_path, ["", *(f"id-{i}" for i in range(num))]) is None
    assert column(tmp_path, ["nan"] * num) is None


def test_faces_that_name_nobody_are_no_people_of_a_slice() -> None:
    labels = np.arange(40) % 2
    names = [f"p{i // 2}" if i < 20 else unnamed_identity(f"{i}.png") for i in range(40)]
    found = slice_faces(labels, certain(labels), np.array(names), [halves(40)])
    counts = {one.value: (one.num_people, one.num_unnamed) for one in found.slices}
    assert set(counts.values()) == {(10, 0), (0, 20)}
