"""Which version gets which alias."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from tiny import tiny, train

from fer_mlops.errors import ModelError
from fer_mlops.tracking import registry
from fer_mlops.tracking.alias_lock import REGISTERED_NAME, aliases_of, find_version
from fer_mlops.tracking.registry import load_classifier, register, run_id_of
from fer_mlops.tracking.runs import track


@pytest.fixture
def model_ids(world: Path, faces_folder: Path) -> list[str]:
    """Of one bundle, logged by three runs."""
    classifier = train(tiny("baseline", faces_folder)).classifier
    face = io.BytesIO()
    Image.new("L", (32, 32)).save(face, format="PNG")
    logged = []
    for number in range(3):
        with track("models", f"run {number}", system_metrics=False) as tracker:
            logged.append(tracker.log_classifier(classifier, [face.getvalue()], {}))
    return logged


def tags(score: float, digest: str = "same") -> dict[str, str]:
    return {registry.SCORE_TAG: str(score), registry.DIGEST_TAG: digest, "data": "faces"}


def test_the_first_version_is_champion_and_later_ones_wait_for_the_gate(model_ids: list[str]) -> None:
    first = register(model_ids[0], tags(0.5))
    assert (first.version, first.alias) == (1, "champion")
    better = register(model_ids[1], tags(0.9))
    assert (better.version, better.alias) == (2, "challenger")
    assert better.reason == "fer-mlops promote --version 2 takes it through the gate"
    assert (aliases_of(1), aliases_of(2)) == (["champion"], ["challenger"])
    third = register(model_ids[2], tags(0.1))
    assert (aliases_of(2), aliases_of(third.version)) == ([], ["challenger"])
    stored = MlflowClient().get_model_version(REGISTERED_NAME, "2")
    assert stored.tags["decision"] == f"challenger: {better.reason}"


def test_a_model_is_registered_once_however_often_a_killed_run_asks(model_ids: list[str]) -> None:
    first = register(model_ids[0], tags(0.5))
    second = register(model_ids[1], tags(0.6))
    assert register(model_ids[0], tags(0.5)) == first
    assert register(model_ids[1], tags(0.6)) == second
    assert (aliases_of(1), aliases_of(2)) == (["champion"], ["challenger"])


def test_an_empty_registry_has_no_champion(world: Path) -> None:
    assert find_version("champion") is None


@pytest.mark.parametrize(
    "name", ["models:/fer-classifier@champion", "models:/nothing/1", "runs:/0123456789abcdef", "nowhere"]
)
def test_a_model_that_is_not_there_is_one_sentence(name: str, world: Path) -> None:
    with pytest.raises(ModelError, match="no model"):
        load_classifier(name)


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no classifier\.json"):
        load_classifier(str(tmp_path))


def test_a_folder_has_no_run(tmp_path: Path) -> None:
    assert run_id_of(str(tmp_path)) is None
