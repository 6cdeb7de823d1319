"""What is wrong with data, and what it will do to the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.datasets.table import FaceTable, Row, make_table
from fer_mlops.doctor import Finding, examine
from fer_mlops.emotions import EMOTIONS

CONFIG = DataConfig()


def crowd(
    folder: Path, num_people: int, each: int = 1, emotions: tuple[str, ...] = EMOTIONS
) -> FaceTable:
    """Draws every person with every emotion ``each`` times; no two files are alike."""
    rows = []
    for person in range(num_people):
        for emotion in emotions:
            for i in range(each):
                path = f"{person:03}-{emotion}-{i}.bmp"
                pixels = np.random.default_rng(len(rows)).integers(0, 256, (4, 4), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / path)
                rows.append(Row(path, emotion, f"p{person}", "drawn"))
    return make_table("tiny", folder, rows, [])


def strangers(table: FaceTable) -> FaceTable:
    """Returns the table with every face a person of its own."""
    return replace(table, identities=np.array(table.paths, dtype=np.str_))


def about(findings: list[Finding], words: str) -> Finding:
    """Returns the one finding that says ``words``."""
    found = [finding for finding in findings if words in finding.what]
    assert len(found) == 1, [finding.what for finding in findings]
    return found[0]


def severities(findings: list[Finding]) -> list[str]:
    return [finding.severity for finding in findings]


def test_there_is_nothing_to_say_about_enough_faces_of_people_seen_once(tmp_path: Path) -> None:
    assert examine(strangers(crowd(tmp_path, 150)), CONFIG, 0) == []


def test_unreadable_and_missing_files_are_an_error_with_their_names(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    (tmp_path / table.paths[0]).write_bytes(b"torn")
    (tmp_path / table.paths[5]).unlink()
    finding = about(examine(table, CONFIG, 0), "cannot be read")
    assert finding == Finding(
        "error",
        f"2 images cannot be read: {table.paths[0]}, {table.paths[5]}",
        "training stops at them",
        "mend or delete them, or train with --on-bad-image skip",
    )


def test_copies_are_a_warning_that_counts_those_with_different_emotions(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    for copy, original in (
        ("001-anger-0.bmp", "000-anger-0.bmp"),
        ("003-fear-0.bmp", "002-sadness-0.bmp"),
    ):
        (tmp_path / copy).write_bytes((tmp_path / original).read_bytes())
    finding = about(examine(table, CONFIG, 0), "two or more names")
    assert finding.severity == "warning"
    assert finding.what == (
        "2 images stand under two or more names, 1 of them with different emotions: "
        "000-anger-0.bmp, 001-anger-0.bmp, 002-sadness-0.bmp and 1 more"
    )
    assert finding.remedy == "delete the copies"


def test_unreadable_copies_are_not_counted_twice(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    for path in table.paths[:2]:
        (tmp_path / path).write_bytes(b"torn")
    findings = examine(table, CONFIG, 0)
    assert not any("two or more names" in finding.what for finding in findings)


def test_emotions_with_few_faces_are_named_with_faces_and_people(tmp_path: Path) -> None:
    scarce = [
        Row("face.bmp", emotion, f"p{i % (7 if emotion == 'fear' else 30)}", "drawn")
        for emotion in EMOTIONS
        for i in range(149 if emotion == "fear" else 150)
    ]
    Image.new("L", (4, 4)).save(tmp_path / "face.bmp")
    finding = about(examine(make_table("tiny", tmp_path, scarce, []), CONFIG, 0), "too few faces")
    assert finding.severity == "warning"
    assert finding.what == "too few faces for a claim about: fear 149 (of 7 people)"


def test_the_share_of_test_faces_with_known_people_is_told(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12, each=2)  # 14 faces each: all are known in a random split
    finding = about(examine(table, CONFIG, 0), "random split")
    assert finding.severity == "warning"
    assert finding.what == (
        "a random split has 100% of its test faces from people who are also in train"
    )
    assert finding.remedy == "keep the default, --split identity"


def test_people_seen_once_cannot_leak(tmp_path: Path) -> None:
    findings = examine(strangers(crowd(tmp_path, 12, each=2)), CONFIG, 0)
    assert not any("random split" in finding.what for finding in findings)


@pytest.mark.parametrize("config", [CONFIG, DataConfig(split="random")])
def test_too_few_people_are_an_error_of_the_identity_split_only(
    config: DataConfig, tmp_path: Path
) -> None:
    findings = examine(crowd(tmp_path, 3, each=5), config, 0)
    finding = about(findings, "cannot be divided")
    assert (finding.severity, finding.consequence) == ("error", "the identity split cannot be made")
    assert about(findings, "random split").severity == "warning"


def test_an_emotion_with_one_face_is_an_error_and_no_crash(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    only = [i for i, label in enumerate(table.labels) if EMOTIONS[label] != "fear"]
    fear = [i for i, label in enumerate(table.labels) if EMOTIONS[label] == "fear"][:1]
    findings = examine(table.select(only + fear), CONFIG, 0)
    finding = about(findings, "fear has 1 face;")
    assert (finding.severity, finding.consequence) == ("error", "no split can be made")


@pytest.mark.parametrize("num_people", [3, 5])
def test_a_handful_of_faces_is_examined_and_no_crash(num_people: int, tmp_path: Path) -> None:
    findings = examine(crowd(tmp_path, num_people), CONFIG, 0)
    assert "error" in severities(findings)


def test_what_cleaning_did_is_noted_and_errors_come_first(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    noted = table.select(list(range(len(table))), "2 repeated rows counted once")
    (tmp_path / table.paths[0]).write_bytes(b"torn")
    findings = examine(noted, CONFIG, 0)
    assert severities(findings) == sorted(severities(findings), key=["error", "warning", "note"].index)
    assert set(severities(findings)) == {"error", "warning", "note"}
    assert findings[-1] == Finding("note", "2 repeated rows counted once", "handled while reading", "")


def test_every_file_is_told_once(tmp_path: Path) -> None:
    done: list[int] = []
    examine(crowd(tmp_path, 12), CONFIG, 0, advance=done.append)
    assert done == [1] * 84


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    assert examine(table, CONFIG, 4) == examine(table, CONFIG, 4)
