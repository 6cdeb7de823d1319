"""Wrong labels: planted, ranked, written for review and put right."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from crowds import bars, crowd, images, kinds, the
from numpy.typing import NDArray

from fer_mlops.config import DataConfig
from fer_mlops.data.image_cache import load_images
from fer_mlops.data.quality.baseline import SIDE, deal_folds, quick_probabilities
from fer_mlops.data.quality.label_errors import (
    find_label_errors,
    label_error_findings,
    label_errors_as_csv,
)
from fer_mlops.data.quality.report import check_data
from fer_mlops.data.relabel import relabel
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.images.arrays import Images

CONFIG = DataConfig()


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> FaceTable:
    """Faces whose emotion a quick baseline can see."""
    return crowd(tmp_path_factory.mktemp("bright"), 60, draw=bars)


def mislabel(table: FaceTable, num: int, seed: int = 0) -> tuple[FaceTable, list[str]]:
    """Returns the table with ``num`` labels turned to the next emotion, and whose."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(table))[:num])
    labels = table.labels.copy()
    labels[rows] = (labels[rows] + 1) % len(EMOTIONS)
    return replace(table, labels=labels), [table.paths[row] for row in rows]


def test_no_label_is_doubted_where_all_are_right(bright: FaceTable, tmp_path: Path) -> None:
    examination = check_data(bright, CONFIG, 0, tmp_path)
    assert "label-errors" not in kinds(examination)
    assert len(examination.label_errors.splitlines()) == 1


def test_planted_errors_are_found_and_nothing_else(bright: FaceTable, tmp_path: Path) -> None:
    table, wrong = mislabel(bright, 12)
    examination = check_data(table, CONFIG, 0, tmp_path)
    finding = the(examination, "label-errors")
    found = images(finding)
    assert finding.severity == "warning"
    assert finding.num == len(found) >= 9  # one less sure than the mean is not doubted
    assert set(found) <= set(wrong)
    numbers, _, by = finding.what.partition("; ")
    assert sum(map(int, re.findall(r"\d+", numbers))) == len(found)
    assert re.fullmatch(r"(\d+ labels? likely wrong)?(, )?(\d+ (labels? )?to review)?", numbers)
    assert by.startswith("doubted by a quick baseline")
    assert examination.verdict.endswith(f"{numbers}.")
    joint = examination.listings[-1]
    assert joint.title == "Given and estimated labels"
    assert [row[0] for row in joint.rows] == list(EMOTIONS)


def test_an_unreviewed_csv_changes_nothing_and_a_reviewed_one_mends(
    bright: FaceTable, tmp_path: Path
) -> None:
    table, wrong = mislabel(bright, 12)
    errors = find_label_errors(table.labels, certain(bright.labels, 0.9))
    text = label_errors_as_csv(table, errors.ranked)
    (tmp_path / "errors.csv").write_text(text)
    assert (relabel(table, tmp_path / "errors.csv").labels == table.labels).all()
    header, *lines = text.splitlines()
    cells = [line.split(",") for line in lines]
    assert sorted(cell[0] for cell in cells) == wrong
    assert all(cell[1] == cell[2] != cell[3] for cell in cells)
    reviewed = [",".join([cell[0], cell[3], *cell[2:]]) for cell in cells]
    (tmp_path / "reviewed.csv").write_text("\n".join([header, *reviewed]))
    assert (relabel(table, tmp_path / "reviewed.csv").labels == bright.labels).all()


def test_a_given_model_is_the_judge(bright: FaceTable, tmp_path: Path) -> None:
    table, wrong = mislabel(bright, 5)

    @dataclass(frozen=True)
    class Oracle:
        image_size: int = 32

        def predict_proba(self, pixels: Images) -> NDArray[np.float64]:
            bands = np.stack(
                [np.asarray(pixels[:, 4 * i + 2 : 4 * i + 4]).mean((1, 2)) for i in range(7)], 1
            )
            return 0.02 + 0.86 * np.eye(7)[bands.argmax(1)]

    examination = check_data(table, CONFIG, 0, tmp_path, classifier=Oracle())
    finding = the(examination, "label-errors")
    assert sorted(images(finding)) == wrong
    assert finding.what.startswith("5 labels ")
    assert "doubted by the given model" in finding.what
    assert finding.examples[0].caption.endswith("0.88")


def test_probabilities_come_from_other_people(bright: FaceTable, tmp_path: Path) -> None:
    _, pixels = load_images(bright, SIDE, tmp_path)
    groups = np.unique(bright.identities, return_inverse=True)[1]
    first = quick_probabilities(pixels, bright.labels, groups, 0)
    assert first.sum(1) == pytest.approx(np.ones(len(bright)))
    assert (first.argmax(1) == bright.labels).mean() > 0.98
    assert (quick_probabilities(pixels, bright.labels, groups, 0) == first).all()
    for kept, held in deal_folds(bright.labels, groups, 0):
        assert not set(groups[kept]) & set(groups[held])


def test_an_emotion_that_is_absent_has_no_probability(bright: FaceTable, tmp_path: Path) -> None:
    table = bright.select(np.flatnonzero(bright.labels < 2))
    _, pixels = load_images(table, SIDE, tmp_path)
    groups = np.unique(table.identities, return_inverse=True)[1]
    probabilities = quick_probabilities(pixels, table.labels, groups, 0)
    assert probabilities[:, 2:].max() == 0
    assert (probabilities.argmax(1) == table.labels).mean() > 0.98


def certain(labels: NDArray[np.int64], confidence: float) -> NDArray[np.float64]:
    others = (1 - confidence) / (len(EMOTIONS) - 1)
    return others + (confidence - others) * np.eye(len(EMOTIONS))[labels]


def test_the_confident_joint_counts_as_the_paper_says() -> None:
    # 40 faces labelled 0, of which 10 surely look like 1; 40 labelled 1 that all look so
    labels = np.repeat([0, 1], 40)
    truly = np.concatenate([np.zeros(30), np.ones(50)]).astype(np.int64)
    errors = find_label_errors(labels, certain(truly, 0.88))
    assert errors.joint[:2, :2].tolist() == [[30, 10], [0, 40]]
    assert errors.estimate == 10
    assert [error.row for error in errors.ranked] == list(range(30, 40))
    assert {(error.given, error.suggested) for error in errors.ranked} == {(0, 1)}
    assert errors.agreement == pytest.approx(70 / 80)
    assert errors.kappa == pytest.approx((0.875 - 0.5) / 0.5)


def test_the_most_doubtful_come_first() -> None:
    labels = np.repeat([0, 1], 40)
    probabilities = certain(labels, 0.7)
    probabilities[5] = certain(np.array([1]), 0.8)[0]
    probabilities[9] = certain(np.array([1]), 0.99)[0]
    assert [error.row for error in find_label_errors(labels, probabilities).ranked] == [9, 5]


def test_a_label_likelier_than_the_rest_is_not_doubted() -> None:
    # 0.4 is much for emotion 1, by its own faces; but these look more like their label
    labels = np.repeat([0, 1], 40)
    probabilities = certain(labels, 0.97)
    probabilities[:3] = probabilities[40:] = np.array([0.55, 0.4, 0.01, 0.01, 0.01, 0.01, 0.01])
    errors = find_label_errors(labels, probabilities)
    assert errors.joint[0, 1] > 0
    assert errors.ranked == ()


def test_faces_of_which_nothing_is_certain_count_by_their_label() -> None:
    labels = np.repeat([0, 1, 2], 20)
    probabilities = certain(labels, 0.9)
    probabilities[:5] = 1 / 7
    probabilities[5:8] = certain(np.array([1]), 0.95)
    errors = find_label_errors(labels, probabilities)
    assert errors.joint.sum(1).tolist() == [20, 20, 20, 0, 0, 0, 0]
    assert errors.joint[0, 1] == pytest.approx(20 * 3 / 15)  # 3 of the 15 that are certain
    assert errors.estimate == pytest.approx(4)


def test_an_emotion_of_few_faces_is_never_suggested() -> None:
    labels = np.array([0] * 40 + [1] * 40 + [2] * 5)
    probabilities = certain(labels, 0.6)
    probabilities[3] = certain(np.array([2]), 0.9)[0]
    assert find_label_errors(labels, probabilities).ranked == ()


def test_a_judge_who_knows_nothing_is_not_believed(bright: FaceTable) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(7), len(bright))
    errors = find_label_errors(bright.labels, probabilities)
    assert errors.ranked
    assert not errors.is_trusted
    assert label_error_findings(bright, errors, doubted_by="a coin") == []
    assert label_errors_as_csv(bright, errors.ranked[:1]).count("\n") == 2


def test_labels_that_are_likely_wrong_come_first_and_say_so(bright: FaceTable) -> None:
    probabilities = certain(bright.labels, 0.7)
    for row, own, other in ((3, 0.1, 0.9), (5, 0.04, 0.76)):  # the first has the larger margin
        probabilities[row] = (1 - own - other) / 5
        probabilities[row, bright.labels[row]] = own
        probabilities[row, (bright.labels[row] + 1) % 7] = other
    errors = find_label_errors(bright.labels, probabilities)
    (finding,) = label_error_findings(bright, errors, doubted_by="a test")
    assert finding.what.startswith("1 label likely wrong, 1 to review")
    assert [example.image for example in finding.examples] == [bright.paths[5], bright.paths[3]]
    assert [example.caption.startswith("likely wrong: ") for example in finding.examples] == [
        True,
        False,
    ]
