"""What is said of people, copies and terms where a data set names nobody, or a publisher split leaks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from layouts import draw
from PIL import Image
from tiny import tiny

from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import DATASETS, load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.loading import Data, prepare_data
from fer_mlops.data.quality.findings import Finding
from fer_mlops.data.table import count_or_unknown
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.report import evaluate
from fer_mlops.metrics.identities import describe_people, unnamed_identity
from fer_mlops.models.backbones import find_backbone
from fer_mlops.pipelines.registration import _origin
from fer_mlops.pipelines.train import _facts, _log_beginning
from fer_mlops.reporting.html import people_tile
from fer_mlops.tracking.run_log import RunLog


class Listener(RunLog):
    """A log that keeps the findings."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: list[Finding] = []

    def log_findings(self, findings: Sequence[Finding]) -> None:
        self.findings += findings


def origin_of(data: Data, source: Path, **settings: object) -> Any:
    learned: Any = SimpleNamespace(facts={"backbone": "resnet18"})
    return _origin(tiny("baseline", source, **settings), data, learned, 1, "0123")


@pytest.fixture
def nobody(tmp_path: Path) -> Path:
    """A folder of 70 different faces under numbers."""
    generator = np.random.default_rng(0)
    for emotion in EMOTIONS:
        for number in range(10):
            path = tmp_path / "faces" / emotion / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    return tmp_path / "faces"


def test_a_run_on_faces_that_name_nobody_says_that_known_people_are_unknown(
    nobody: Path, tmp_path: Path
) -> None:
    experiment = tiny("baseline", nobody)
    data = prepare_data(experiment, tmp_path / "cache")
    facts = _facts(experiment, data)
    assert facts["test_faces_of_known_people"] == "unknown: nobody is named"
    assert str(facts["warning"]).startswith("Perhaps optimistic: ")
    origin = origin_of(data, nobody)
    assert "is unknown: nobody is named." in origin.split
    assert "0% of the test faces show" not in origin.split
    assert origin.caution.endswith("nobody is named.")


def test_a_report_on_faces_that_name_nobody_counts_faces_and_logs_no_people() -> None:
    labels = np.array([0, 1, 0, 1])
    probabilities = np.eye(7)[labels]
    identities = np.array([unnamed_identity(f"{n}.png") for n in range(4)])
    report = evaluate(labels, probabilities, identities)
    assert report.people() == "4 faces, people unknown: nobody is named"
    assert "test/people" not in report.metrics("test")
    half = evaluate(labels, probabilities, np.array(["anna", "ben", "ben", identities[3]]))
    assert half.people() == "4 faces: 3 of 2 named people, 1 unnamed"
    assert half.metrics("test")["test/people"] == 2


def test_people_are_counted_or_said_to_be_unknown() -> None:
    assert describe_people(1, 1, 0) == "1 face of 1 person"
    assert people_tile(14, 0) == ("14", "people", "")
    assert people_tile(0, 9) == ("?", "people: no identities", "warning")
    assert [count_or_unknown(3, 0), count_or_unknown(3, 2), count_or_unknown(0, 2)] == [3, "3 + ?", "?"]


def test_a_run_on_given_parts_says_that_test_photos_are_in_train(nobody: Path, tmp_path: Path) -> None:
    source = tmp_path / "parts"
    for emotion in EMOTIONS:
        for number in range(10):
            part = "test" if number < 2 else "train"
            face = source / part / emotion / f"{number:04}.png"
            face.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(nobody / emotion / f"{number:04}.png", face)
        shutil.copy(source / "test" / emotion / "0000.png", source / "train" / emotion / "9999.png")
    experiment = tiny("baseline", source, data__split="given")
    data = prepare_data(experiment, tmp_path / "cache")
    tracker: Any = Listener()
    _log_beginning(experiment, data, tracker)
    (copies,) = [one for one in tracker.findings if one.kind == "copies-across-parts"]
    assert (copies.severity, copies.num) == ("warning", 7)
    assert "50.0% of the test faces are near duplicates" in str(tracker.facts["warning"])
    assert "50.0% of the test faces are near duplicates" in origin_of(data, source).split


@pytest.mark.parametrize("name", ["sample", "jaffe", "fer2013", "csv"])
def test_terms_are_those_of_the_reader_not_of_a_folders_name(name: str, tmp_path: Path) -> None:
    for emotion in ("fear", "anger"):
        draw(tmp_path / name / emotion / "anna_1.png")
    table = load_faces(Request(cache=tmp_path, config=DataConfig(source=str(tmp_path / name))))
    assert table.terms == DATASETS["folder"].terms
    assert table.select([0]).terms == DATASETS["folder"].terms


@pytest.mark.parametrize(
    ("backbone", "weights", "words"),
    [
        ("resnet18", "imagenet", "BSD-3-Clause"),
        ("resnet50", "IMAGENET1K_V1", "BSD-3-Clause"),
        ("resnet18", "~/mine.pth", "mine.pth, your own file"),
        ("regnet_y_16gf", "IMAGENET1K_SWAG_E2E_V1", "CC-BY-NC 4.0"),
        ("regnet_y_128gf", "imagenet", "CC-BY-NC 4.0"),
        ("regnet_y_16gf", "imagenet", "BSD-3-Clause"),
    ],
)
def test_the_lineage_is_that_of_the_weights_that_were_loaded(
    backbone: str, weights: str, words: str
) -> None:
    assert words in find_backbone(backbone).lineage_of(weights)


def test_the_lineage_of_timm_is_its_own_licence() -> None:
    pytest.importorskip("timm")
    said = find_backbone("timm:resnet50.fb_swsl_ig1b_ft_in1k").lineage_of("imagenet")
    assert "cc-by-nc-4.0" in said
    assert "fb_swsl_ig1b_ft_in1k" in said
    assert "gathered for research only" not in said
