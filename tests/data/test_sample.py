"""The drawn sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layouts import read
from PIL import Image

from fer_mlops.data.datasets import sample
from fer_mlops.data.datasets.synthetic_faces import ACTION_UNITS
from fer_mlops.data.table import Note
from fer_mlops.emotions import EMOTIONS


@pytest.fixture
def two_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "NUM_IDENTITIES", 2)


def test_the_sample_is_drawn_alike_twice_and_every_face_differs(tmp_path: Path) -> None:
    drawings = []
    for name in ("one", "two"):
        sample.draw_sample(tmp_path / name, num_identities=1, variants=2, seed=5)
        drawings.append([path.read_bytes() for path in sorted((tmp_path / name).glob("*/*.png"))])
    assert drawings[0] == drawings[1]
    assert len(set(drawings[0])) == len(drawings[0]) == 14


def test_more_people_leave_the_first_ones_as_they_were(tmp_path: Path) -> None:
    for number in (1, 2):
        sample.draw_sample(tmp_path / str(number), num_identities=number, variants=1, seed=5)
    first = sorted((tmp_path / "1").glob("*/*.png"))
    assert len(first) == 7
    for path in first:
        assert (tmp_path / "2" / path.parent.name / path.name).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("two_people")
def test_the_sample_has_every_person_with_every_emotion_equally_often(tmp_path: Path) -> None:
    table = read("sample", tmp_path / "set")
    assert table.counts() == dict.fromkeys(EMOTIONS, 2 * sample.VARIANTS)
    people, faces = np.unique(table.identities, return_counts=True)
    assert people.tolist() == ["p000", "p001"]
    assert faces.tolist() == [7 * sample.VARIANTS] * 2
    assert table.notes == (Note("about", "drawn faces: scores on them say nothing about real people"),)
    with Image.open(table.root / table.paths[0]) as face:
        assert (face.size, face.mode) == ((sample.SIDE, sample.SIDE), "RGB")


@pytest.mark.usefixtures("two_people")
def test_the_sample_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read("sample", tmp_path / "set")
    monkeypatch.delattr(sample, "draw_sample")
    assert read("sample", tmp_path / "set").digest() == first.digest()


def test_every_emotion_can_be_drawn() -> None:
    assert tuple(ACTION_UNITS) == EMOTIONS
