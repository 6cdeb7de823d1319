"""Faces that share a trait against all others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fer_mlops.datasets.table import Row, make_table
from fer_mlops.doctor.records import FileRecord
from fer_mlops.slices import Trait, slice_faces, traits_of

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
    assert found.metrics("test")["test/worst_slice_gap"] == found.worst_gap
    assert found.metrics("test")["test/slice_accuracy/age young"] == found.worst.accuracy.value


def test_people_not_faces_are_resampled() -> None:
    """Of one person alone in a slice nothing can be said with certainty."""
    labels = np.tile([3, 4], 100)
    predictions = np.r_[labels[:100], 7 - labels[100:160], labels[160:]]
    one_person = np.r_[people(100), np.array(["anna"] * 100)]
    of_one = slice_faces(labels, certain(predictions), one_person, [halves(200)]).slices[1]
    of_many = slice_faces(labels, certain(predictions), people(200), [halves(200)]).slices[1]
    assert (of_one.num_people, of_many.num_people) == (1, 100)
    assert of_one.accuracy.low == of_one.accuracy.high == 0.4  # the same 100 faces in every draw
    assert of_many.accuracy.low < 0.4 < of_many.accuracy.high


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
    table = table_of(tmp_path, ["old", "", "young"], ["web", "web", "web"])
    records = [record(50, 0.0, 10), record(100, 20.0, 100), record(224, 20.0, 200)]
    traits = {trait.name: trait.values.tolist() for trait in traits_of(table, records)}  # type: ignore[arg-type]
    assert traits == {
        "resolution": ["under 64 px", "64 to 127 px", "128 px and more"],
        "colour": ["gray", "colour", "colour"],
        "brightness": ["dark", "medium", "bright"],
        "age": ["old", "", "young"],
    }


def test_many_numbers_become_thirds_and_many_names_the_most_frequent(tmp_path: Path) -> None:
    ages = [str(i) for i in range(30)]
    names = ["anna"] * 5 + [f"name {i}" for i in range(25)]
    table = table_of(tmp_path, ages, names)
    (age,) = (t for t in traits_of(table, [record(99, 0, 0)] * 30) if t.name == "age")  # type: ignore[arg-type]
    assert set(age.values) == {"up to 9.66667", "9.66667 to 19.3333", "over 19.3333"}
    named = table_of(tmp_path, names, ["web"] * 30)
    (name,) = (t for t in traits_of(named, [record(99, 0, 0)] * 30) if t.name == "age")  # type: ignore[arg-type]
    assert (len(set(name.values)), (name.values == "anna").sum()) == (12, 5)
