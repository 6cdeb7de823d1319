"""Which version gets which alias."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from tiny import run, tiny

from fer_mlops import registry
from fer_mlops.errors import ModelError
from fer_mlops.registry import (
    REGISTERED_NAME,
    aliases_of,
    find_version,
    load_classifier,
    register,
    run_of,
)


@pytest.fixture
def model_id(world: Path, faces_folder: Path) -> str:
    trained = run(tiny("baseline", faces_folder, tracking__register=False))
    outputs = MlflowClient().get_run(trained.run_id).outputs
    return str(outputs.model_outputs[0].model_id)


def tags(score: float, digest: str = "same") -> dict[str, str]:
    return {registry.SCORE_TAG: str(score), registry.DIGEST_TAG: digest, "data": "faces"}


def test_aliases_follow_the_rule(model_id: str) -> None:
    first = register(model_id, tags(0.5))
    assert (first.version, first.alias) == (1, "champion")
    equal = register(model_id, tags(0.5))
    assert equal.alias == "challenger"
    assert "is not above" in equal.reason
    better = register(model_id, tags(0.6))
    assert better.alias == "champion"
    assert aliases_of(1) == ["previous"]
    elsewhere = register(model_id, tags(0.9, "other"))
    assert elsewhere.alias == "challenger"
    assert "other faces" in elsewhere.reason
    champion = find_version("champion")
    assert champion is not None
    assert int(champion.version) == 3
    stored = MlflowClient().get_model_version(REGISTERED_NAME, "3")
    assert stored.tags["decision"].startswith("champion: validation macro-F1 0.6000 is above 0.5000")


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
    assert run_of(str(tmp_path)) is None
