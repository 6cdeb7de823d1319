"""The gate before ``champion``, and the way back."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from tiny import run, tiny

from fer_mlops.cache import cache_folder
from fer_mlops.errors import ConfigError, ModelError
from fer_mlops.promotion import (
    Decision,
    GateRules,
    delete_version,
    differences,
    find_candidate,
    gate_file,
    list_versions,
    move_champion,
    promote,
    read_rules,
    roll_back,
    run_hook,
    version_of,
)
from fer_mlops.promotion.reproducing import compare_code, reproduction_error
from fer_mlops.registry import (
    CHAMPION,
    PREVIOUS,
    REGISTERED_NAME,
    aliases_of,
    find_version,
)
from fer_mlops.tracking import track


@pytest.fixture
def bare_versions(world: Path) -> None:
    """Version 1, champion, version 2, challenger, and version 3, of nothing that can be loaded."""
    client = MlflowClient()
    client.create_registered_model(REGISTERED_NAME)
    run_id = client.create_run("0").info.run_id
    for number in (1, 2, 3):
        made = run_id if number == 1 else None
        client.create_model_version(REGISTERED_NAME, (world / str(number)).as_uri(), made)
    client.set_registered_model_alias(REGISTERED_NAME, CHAMPION, "1")
    client.set_registered_model_alias(REGISTERED_NAME, "challenger", "2")


EASY = GateRules(
    least_faces=5, macro_f1_floor=0, margin=1, cheaper_by=0, ece_ceiling=1, latency_ms=10_000
)
"""Rules that any model keeps whose latency or size is not above the champion's."""


@pytest.fixture
def two_versions(world: Path, faces_folder: Path) -> None:
    """Version 1, champion, and its equal, version 2, challenger."""
    for _ in range(2):
        run(tiny("baseline", faces_folder))


def decide(version: int, rules: GateRules = EASY, **options: object) -> Decision:
    with track("fer_mlops", "promote") as tracker:
        return promote(version, rules, tracker, cache_folder(), **options)  # type: ignore[arg-type]


def champion() -> int:
    found = find_version(CHAMPION)
    assert found is not None
    return int(found.version)


def broken(decision: Decision) -> list[str]:
    return [check.rule for check in decision.checks if not check.is_kept]


def test_a_version_that_keeps_all_rules_becomes_champion_and_says_so(two_versions: None) -> None:
    assert champion() == 1
    decision = decide(2)
    assert broken(decision) == []
    assert decision.is_promoted
    assert (champion(), aliases_of(2), aliases_of(1)) == (2, [CHAMPION], [PREVIOUS])
    stored = MlflowClient().get_model_version(REGISTERED_NAME, "2")
    kept = "champion: kept all 9 rules of the gate"
    assert stored.tags["decision"].startswith(f"{kept} on validation part")
    assert f"## Promotion\n\n{kept}" in stored.description
    assert json.loads(stored.tags["gate"])["macro-F1"][2] is True
    logged = MlflowClient().get_run(stored.tags["gate_run"]).data.tags
    assert (logged["version"], logged["champion_before"], logged["decision"]) == ("2", "1", "champion")


def test_each_rule_can_keep_a_version_out(two_versions: None) -> None:
    changes = {
        "faces to compare on": {"least_faces": 10_000},
        "macro-F1": {"macro_f1_floor": 1.01},
        "macro-F1 against the champion": {"margin": 0},  # an equal is not above 0
        "calibration error": {"ece_ceiling": 0.0},
        "latency, one face": {"latency_ms": 0.0},
    }
    for rule, change in changes.items():
        decision = decide(2, dataclasses.replace(EASY, **change))
        assert rule in broken(decision)
        assert (champion(), aliases_of(2)) == (1, ["challenger"])
        assert rule in MlflowClient().get_model_version(REGISTERED_NAME, "2").tags["decision"]


def test_the_gate_looks_at_validation_faces_that_the_champion_has_not_seen(
    world: Path, faces_folder: Path
) -> None:
    run(tiny("baseline", faces_folder))
    run(tiny("baseline", faces_folder, seed=1))  # another split of the same people
    decision = decide(2)
    assert "validation part" in decision.faces
    assert "without people whom models:/fer-classifier/1 learned from" in decision.faces
    with_all = run(tiny("baseline", faces_folder, seed=1)).valid.num_faces
    assert int(decision.checks[0].found) < with_all


def stored(world: Path, version: int) -> Path:
    """Returns the folder in this world's store that the version lies in."""
    model = MlflowClient().get_model_version(REGISTERED_NAME, str(version)).source
    return Path(mlflow.artifacts.download_artifacts(model))


def test_a_model_that_no_longer_answers_as_stored_is_kept_out(two_versions: None, world: Path) -> None:
    name = "models:/fer-classifier/2"
    error, _ = reproduction_error(name)
    assert error is not None
    assert error <= 1e-6
    probe = stored(world, 2) / "artifacts" / "classifier" / "probe.json"
    told = json.loads(probe.read_text())
    told["probabilities"][0] = [1, 0, 0, 0, 0, 0, 0]
    probe.write_text(json.dumps(told))
    error, _ = reproduction_error(name)
    assert error is not None
    assert error > 0.01
    assert broken(decide(2)) == ["loads, answers as stored"]
    for hostile in (
        "{",
        "[" * 100_000,
        json.dumps({**told, "images": ["no base64"]}),
        json.dumps({**told, "images": []}),
        json.dumps({**told, "probabilities": [[1, 2]]}),
        json.dumps({**told, "probabilities": [[float("nan")] * 7] * len(told["images"])}),
    ):
        probe.write_text(hostile)
        assert reproduction_error(name)[0] is None
    probe.unlink()
    assert reproduction_error(name)[0] is None


def test_a_version_with_code_of_another_hand_is_kept_out_and_its_code_not_run(
    two_versions: None, world: Path
) -> None:
    trap = f"open({str(world / 'trap')!r}, 'w')\n"
    code = stored(world, 2) / "registered_model.py"
    code.write_text(trap)
    package = stored(world, 2) / "code" / "fer_mlops"
    (package / "__init__.py").write_text(trap)
    is_ours, found = compare_code("models:/fer-classifier/2")
    assert not is_ours
    assert re.fullmatch(
        r"registered_model.py is not this .*; 1 of \d+ files of .* differ; none was run", found
    )
    assert broken(decide(2)) == ["code that mlflow.pyfunc runs"]
    assert not (world / "trap").exists()


def test_the_champion_is_not_promoted_again(bare_versions: None) -> None:
    with pytest.raises(ConfigError, match="version 1 is champion already"):
        decide(1)


def test_going_back_and_forth_swaps_the_two(bare_versions: None) -> None:
    with pytest.raises(ModelError, match="no previous champion"):
        roll_back()
    move_champion(2, expected=1)
    assert (champion(), aliases_of(1), aliases_of(2)) == (2, [PREVIOUS], [CHAMPION])
    assert roll_back() == (1, 2)
    assert (champion(), aliases_of(2)) == (1, [PREVIOUS])
    assert roll_back() == (2, 1)
    assert champion() == 2


def test_of_two_promotions_at_once_the_later_is_refused_and_there_is_a_champion(
    bare_versions: None,
) -> None:
    move_champion(2, expected=1)
    with pytest.raises(ModelError, match="version 2 became champion while"):
        move_champion(3, expected=1)
    assert champion() == 2


def test_a_version_that_is_loaded_by_alias_cannot_be_deleted(bare_versions: None) -> None:
    with pytest.raises(ModelError, match="version 1 of fer-classifier is champion"):
        delete_version(1)
    delete_version(3)
    assert [one.number for one in list_versions()] == [2, 1]
    with pytest.raises(ModelError, match="has no version 3"):
        delete_version(3)


def test_the_candidate_is_the_challenger_a_version_or_what_a_run_made(bare_versions: None) -> None:
    assert find_candidate(None, "") == 2
    assert find_candidate(3, "") == 3
    assert find_candidate(None, version_of("champion").run_id) == 1
    with pytest.raises(ConfigError, match="give one"):
        find_candidate(1, "abc")
    with pytest.raises(ModelError, match="run abc has registered no version"):
        find_candidate(None, "abc")
    with pytest.raises(ModelError, match="has no version 9"):
        find_candidate(9, "")
    MlflowClient().delete_registered_model_alias(REGISTERED_NAME, "challenger")
    with pytest.raises(ModelError, match="no challenger"):
        find_candidate(None, "")


def test_two_versions_differ_in_what_was_set_otherwise(world: Path, faces_folder: Path) -> None:
    run(tiny("baseline", faces_folder))
    run(tiny("baseline", faces_folder, hog_svm__components=10))
    found = {what: (one, other) for what, one, other in differences(version_of("1"), version_of("2"))}
    assert found["hog_svm.components"] == ("20", "10")
    assert all(key.startswith(("hog_svm.components", "test/")) for key in found)


def test_a_hook_is_told_of_the_change_and_its_failure_is_said(tmp_path: Path) -> None:
    out = tmp_path / "told"
    run_hook(f"sh -c 'echo $FER_CHAMPION after $FER_PREVIOUS: $FER_MODEL > {out}'", 3, 2)
    assert out.read_text() == "3 after 2: models:/fer-classifier@champion\n"
    with pytest.raises(ModelError, match="version 3 is champion, but the command 'false'"):
        run_hook("false", 3, 2)


def test_the_projects_own_rules_are_the_defaults_written_out() -> None:
    assert read_rules(gate_file()) == GateRules()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ece_celing: 1", "did you mean ece_ceiling"),
        ("margin: -1", "margin must be a number from 0 on, got -1"),
        ("margin: soon", "got 'soon'"),
        ("[1, 2]", "no YAML mapping"),
        ("{", "cannot read"),
    ],
)
def test_wrong_rules_end_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_rules(file)
