"""What tells the emotion beside the face: found where planted, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from crowds import kinds, noise
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.file_info import FileRecord, read_records
from fer_mlops.data.quality.findings import Finding
from fer_mlops.data.quality.shortcuts import (
    ClueScore,
    Shortcuts,
    clues_of,
    find_shortcuts,
    shortcut_findings,
    shortcut_listing,
)
from fer_mlops.data.splits import groups_of
from fer_mlops.data.table import FaceTable, Row, make_table
from fer_mlops.emotions import EMOTIONS

NAMES = ("disgust", "happiness", "neutral")


def people(num: int, **columns: list[str]) -> FaceTable:
    """Returns the table of ``num`` people with one face of each of three emotions, on no disk."""
    rows = [
        Row(f"{person:04}-{emotion}.png", emotion, f"p{person}", "drawn")
        for person in range(num)
        for emotion in NAMES
    ]
    table = make_table("tiny", Path(), rows, [])
    return replace(table, columns={name: np.array(values) for name, values in columns.items()})


def record(generator: np.random.Generator, **changes: float | str) -> FileRecord:
    """Returns the record of a file like any other."""
    values: dict[str, object] = {
        "num_bytes": int(generator.integers(4000, 9000)),
        "format": "JPEG",
        "mode": "RGB",
        "width": 224,
        "height": int(generator.integers(200, 250)),
        "chroma": float(generator.normal(20, 5)),
        "brightness": float(generator.normal(120, 20)),
        "contrast": float(generator.normal(50, 10)),
        "sharpness": float(generator.normal(-2, 0.3)),
    }
    return FileRecord(**{**values, **changes})  # type: ignore[arg-type]


def find(table: FaceTable, records: list[FileRecord], seed: int = 0) -> tuple[Shortcuts, list[Finding]]:
    shortcuts = find_shortcuts(table, clues_of(table, records), groups_of(table), seed)
    return shortcuts, shortcut_findings(table, shortcuts)


@pytest.mark.parametrize(
    ("clue", "change"),
    [
        ("colour", {"chroma": 0.0}),
        ("resolution", {"width": 80, "height": 90}),
        ("file size", {"num_bytes": 1500}),
        ("file format", {"format": "WEBP"}),
        ("sharpness", {"sharpness": -4.0}),
        ("brightness", {"brightness": 30.0}),
    ],
)
def test_a_planted_shortcut_is_found(clue: str, change: dict[str, float | str]) -> None:
    table, generator = people(60), np.random.default_rng(0)
    records = [
        record(generator, **(change if "disgust" in path and i % 20 else {}))
        for i, path in enumerate(table.paths)
    ]
    shortcuts, found = find(table, records)
    assert kinds(found)[-1] == "shortcuts-together"
    assert found[0].what.split(" (")[0] == f"{clue} alone predicts disgust against the rest"
    assert found[0].severity == "warning"
    assert shortcuts.scores[clue][0].value > 0.9
    assert {example.caption for example in found[0].examples} == set(NAMES)
    assert len(found[0].examples) == 12


def test_sources_and_columns_are_clues_too() -> None:
    generator = np.random.default_rng(0)
    annotators = [
        "jhamski" if e == "disgust" else f"a{generator.integers(8)}" for _ in range(60) for e in NAMES
    ]
    table = people(60, annotator=annotators)
    table = replace(table, sources=np.array(["actors" if a == "jhamski" else "lfw" for a in annotators]))
    _, found = find(table, [record(generator) for _ in annotators])
    assert found[0].what == (
        "source alone predicts disgust against the rest (balanced accuracy 1.00, chance 0.50); also by "
        "annotator (1.00)"
    )


def test_a_column_that_is_the_label_again_is_no_clue() -> None:
    table = people(30, original=[emotion.upper() for _ in range(30) for emotion in NAMES])
    generator = np.random.default_rng(0)
    names = list(clues_of(table, [record(generator) for _ in table.paths]))
    assert "original" not in names
    assert "source" not in names  # all faces have the same


def test_a_column_of_numbers_is_one_feature() -> None:
    generator = np.random.default_rng(0)
    table = people(30, age=[str(generator.normal(40, 10)) for _ in range(90)])
    clues = clues_of(table, [record(generator) for _ in table.paths])
    assert clues["age"].shape == (90, 1)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_found_where_nothing_is(seed: int) -> None:
    generator = np.random.default_rng(seed)
    table = people(40, annotator=[f"a{generator.integers(5)}" for _ in range(120)])
    assert find(table, [record(generator) for _ in table.paths], seed)[1] == []


@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_found_in_drawn_faces_with_shuffled_labels(seed: int, drawn_cache: Path) -> None:
    table = load_faces(Request(cache=drawn_cache, config=DataConfig()))
    shuffled = np.random.default_rng(seed).permutation(table.labels)
    shortcuts, found = find(replace(table, labels=shuffled), read_records(table), seed)
    assert found == []
    assert len(shortcuts.emotions) == 7


def test_what_is_one_persons_is_not_learned_from_that_person() -> None:
    # every face of a person has one height and one emotion: the height tells the person, not the emotion
    generator = np.random.default_rng(0)
    rows = [
        Row(f"{p:02}-{i:02}.png", EMOTIONS[p % 3], f"p{p}", "drawn")
        for p in range(12)
        for i in range(20)
    ]
    heights = generator.permutation(np.arange(200, 320, 10))
    table = make_table("tiny", Path(), rows, [])
    records = [record(generator, height=float(heights[int(path[:2])])) for path in table.paths]
    assert find(table, records)[1] == []


def test_a_clue_to_a_rare_emotion_is_found_though_most_that_have_it_are_others() -> None:
    generator = np.random.default_rng(0)
    table = people(300)
    table = table.select([i for i, p in enumerate(table.paths) if "disgust" not in p or int(p[:4]) < 60])
    records = [
        record(
            generator, **({"format": "WEBP"} if number % 10 < (9 if "disgust" in path else 2) else {})
        )
        for number, path in enumerate(table.paths)
    ]
    shortcuts, found = find(table, records)
    assert shortcuts.scores["file format"][0].value == pytest.approx(0.85, abs=0.04)
    assert found[0].what.startswith("file format alone predicts disgust")


def test_a_score_that_may_be_chance_is_no_shortcut() -> None:
    assert ClueScore(value=0.8, low=0.6, chance=0.5).is_shortcut
    assert not ClueScore(value=0.8, low=0.49, chance=0.5).is_shortcut
    assert not ClueScore(value=0.6, low=0.55, chance=0.5).is_shortcut
    assert ClueScore(value=0.4, low=0.3, chance=1 / 7).is_shortcut


@pytest.mark.parametrize("num_people", [1, 5])
def test_too_few_faces_or_people_are_no_crash(num_people: int) -> None:
    generator = np.random.default_rng(0)
    table = people(num_people)
    shortcuts, found = find(table, [record(generator) for _ in table.paths])
    assert (shortcuts.scores, found) == ({}, [])


def test_a_rare_emotion_is_left_out_and_the_rest_looked_at() -> None:
    generator = np.random.default_rng(0)
    table = people(40)
    rows = [i for i, path in enumerate(table.paths) if "disgust" not in path or int(path[:4]) < 5]
    shortcuts, _ = find(table.select(rows), [record(generator) for _ in rows])
    assert shortcuts.emotions == ("happiness", "neutral")


def test_scores_are_listed_by_clue_and_emotion() -> None:
    generator = np.random.default_rng(0)
    table = people(40)
    shortcuts, _ = find(table, [record(generator) for _ in table.paths])
    listing = shortcut_listing(shortcuts)
    assert listing.columns == ("clue", *NAMES, "all emotions")
    assert listing.chances == (0.0, 0.5, 0.5, 0.5, pytest.approx(1 / 3))
    assert listing.rows[-1][:4] == ("all together", -1, -1, -1)
    assert {len(row) for row in listing.rows} == {5}
    assert listing.about.endswith("fewer than 10 faces: anger, fear, sadness, surprise.")


def test_colour_is_seen_in_real_files(tmp_path: Path) -> None:
    rows = []
    for person in range(30):
        for emotion in NAMES:
            face = noise(0, np.random.default_rng(len(rows)))
            if emotion == "disgust":
                face = Image.merge(
                    "RGB", (face, face.point(lambda v: v // 2), face.point(lambda v: v // 3))
                )
            path = f"{person}-{emotion}.png"
            face.save(tmp_path / path)
            rows.append(Row(path, emotion, f"p{person}", "drawn"))
    table = make_table("tiny", tmp_path, rows, [])
    shortcuts, found = find(table, read_records(table))
    assert shortcuts.scores["colour"][0].value == 1.0
    assert "predicts disgust against the rest" in found[0].what
