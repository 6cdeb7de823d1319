"""Which version gets which alias."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from tiny import tiny, train

from fer_mlops import REGISTERED_NAME
from fer_mlops.errors import ModelError
from fer_mlops.tracking import registry
from fer_mlops.tracking.alias_lock import (
    FLAW_TAG,
    aliases_of,
    all_aliases,
    find_version,
    make_registered_model,
)
from fer_mlops.tracking.aliases import roll_back
from fer_mlops.tracking.model_names import SCORE_TAG
from fer_mlops.tracking.registration import register
from fer_mlops.tracking.registry import load_classifier, run_id_of
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


def tags(score: float, digest: str = "same", data: str = "faces") -> dict[str, str]:
    return {SCORE_TAG: str(score), registry.DIGEST_TAG: digest, "data": data}


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


def test_the_first_model_of_real_faces_takes_over_from_one_of_drawn_faces(model_ids: list[str]) -> None:
    register(model_ids[0], tags(0.9, data="sample"))
    register(model_ids[1], tags(0.8, data="sample"))
    assert (aliases_of(1), aliases_of(2)) == (["champion"], ["challenger"])
    real = register(model_ids[2], tags(0.1))
    assert real.alias == "champion"
    assert real.reason == "the first trained on real faces; version 1 was trained on drawn ones"
    assert all_aliases() == {"champion": 3}  # nothing to roll back to, nothing that waits
    assert MlflowClient().get_model_version(REGISTERED_NAME, "3").tags["decision"].startswith("champion")


def test_a_model_of_drawn_faces_gets_no_alias_beside_a_champion_of_real_ones(
    model_ids: list[str],
) -> None:
    register(model_ids[0], tags(0.1))
    drawn = register(model_ids[1], tags(0.9, data="sample"))
    assert (drawn.alias, all_aliases()) == ("no alias", {"champion": 1})
    assert drawn.reason == "trained on drawn faces; the champion, version 1, on real ones"
    MlflowClient().set_registered_model_alias(REGISTERED_NAME, "previous", "2")
    with pytest.raises(ModelError, match="version 2, was trained on drawn faces"):
        roll_back()


def test_a_version_with_a_flaw_gets_no_alias_even_if_it_is_the_first(model_ids: list[str]) -> None:
    flawed = register(model_ids[0], {**tags(0.1), FLAW_TAG: "predicts anger for all faces"})
    assert (flawed.alias, flawed.reason) == ("no alias", "predicts anger for all faces")
    assert register(model_ids[1], tags(0.1)).alias == "champion"


def test_registration_prints_nothing_and_links_model_and_version(
    model_ids: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    register(model_ids[0], tags(0.1))
    register(model_ids[1], tags(0.1))
    assert capfd.readouterr() == ("", "")
    linked = MlflowClient().get_logged_model(model_ids[1]).tags["mlflow.modelVersions"]
    assert json.loads(linked) == [{"name": REGISTERED_NAME, "version": 2}]


def test_the_registered_model_says_what_it_is_also_if_it_is_of_an_earlier_release(world: Path) -> None:
    MlflowClient().create_registered_model(REGISTERED_NAME)
    make_registered_model()
    text = MlflowClient().get_registered_model(REGISTERED_NAME).description or ""
    assert {"**Input**", "**Load**", "**champion**"} <= set(re.findall(r"\*\*\w+\*\*", text))
    MlflowClient().update_registered_model(REGISTERED_NAME, "mine")
    make_registered_model()
    assert MlflowClient().get_registered_model(REGISTERED_NAME).description == "mine"


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
