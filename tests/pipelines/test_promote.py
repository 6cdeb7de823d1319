"""The gate before ``champion``, and the way back."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from tiny import run, tiny

from fer_mlops import REGISTERED_NAME
from fer_mlops.cli.registry import through_the_gate
from fer_mlops.config.promotion import GateRules, gate_file, read_rules
from fer_mlops.errors import ConfigError, DataError, ModelError, TrackingError
from fer_mlops.files import cache_folder
from fer_mlops.pipelines import promote as gate
from fer_mlops.pipelines.promote import REFUSED, Check, Decision, promote
from fer_mlops.pipelines.promotion_data import promotion_test_set
from fer_mlops.pipelines.reproduction import compare_code, reproduction_error
from fer_mlops.progress import Advance, ignore_progress, no_progress
from fer_mlops.tracking.alias_lock import aliases_of, all_aliases, find_version
from fer_mlops.tracking.aliases import delete_version, move_champion, roll_back
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, PREVIOUS
from fer_mlops.tracking.runs import track
from fer_mlops.tracking.store import ensure_experiment
from fer_mlops.tracking.version_list import list_versions
from fer_mlops.tracking.versions import differences, find_candidate, version_of


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


@pytest.fixture
def verdict(monkeypatch: pytest.MonkeyPatch) -> list[Check]:
    """What the gate finds of any version of ``bare_versions``: at first, that it keeps all rules."""
    checks = [Check("macro-F1", ".9", "at least .3", True), Check(gate._LOADS, "0", "at most 0", True)]
    test_set = SimpleNamespace(table=(), described="drawn faces", warnings=())
    monkeypatch.setattr(gate, "downloaded_model", nullcontext)
    monkeypatch.setattr(gate, "candidate_in", lambda _, name: name)
    monkeypatch.setattr(gate, "candidate_of", lambda name: name)
    monkeypatch.setattr(gate, "promotion_test_set", lambda *_: (test_set, True))
    monkeypatch.setattr(gate, "_checks", lambda *_: iter(checks))
    return checks


def champion() -> int:
    found = find_version(CHAMPION)
    assert found is not None
    return int(found.version)


def broken(decision: Decision) -> list[str]:
    return [check.rule for check in decision.checks if not check.is_passed]


def test_a_version_that_keeps_all_rules_becomes_champion_and_says_so(two_versions: None) -> None:
    assert champion() == 1
    stages: list[str] = []

    def note(stage: str, _: int) -> Advance:
        stages.append(stage)
        return ignore_progress

    decision = decide(2, progress=note)
    assert [stage for stage in stages if "reading" in stage] == ["reading faces, 32 x 32 pixels"]
    assert broken(decision) == []
    assert "favour" not in "".join(decision.warnings)  # one split
    assert decision.is_promoted
    assert (champion(), aliases_of(2), aliases_of(1)) == (2, [CHAMPION], [PREVIOUS])
    stored = MlflowClient().get_model_version(REGISTERED_NAME, "2")
    passed = "champion: passed all 9 rules of the gate"
    assert stored.tags["decision"].startswith(f"{passed} on validation part")
    assert f"## Promotion\n\n{passed}" in stored.description
    assert json.loads(stored.tags["gate"])["macro-F1"][2] is True
    logged = MlflowClient().get_run(stored.tags["gate_run"]).data.tags
    assert (logged["version"], logged["champion_before"], logged["decision"]) == ("2", "1", "champion")


def test_real_faces_are_not_measured_against_drawn_ones_nor_replaced_by_them(two_versions: None) -> None:
    client = MlflowClient()
    client.set_model_version_tag(REGISTERED_NAME, "1", "data", "sample")
    decision = decide(2)
    assert "macro-F1 against the champion" not in [check.rule for check in decision.checks]
    assert "not compared with version 1, which was trained on drawn faces" in decision.warnings
    assert (all_aliases(), decision.champion) == ({CHAMPION: 2}, 1)
    refused = decide(1)
    assert broken(refused)[0] == "fit for an alias"
    assert (all_aliases(), refused.outcome) == ({CHAMPION: 2}, REFUSED)


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
    run(tiny("baseline", faces_folder, seed=2))  # another split of the same people
    decision = decide(2)
    assert "validation part" in decision.faces
    assert "without people in the training data of models:/fer-classifier/1" in decision.faces
    (warning,) = (one for one in decision.warnings if "these faces favour the new version" in one)
    assert "; 7 of them show people from the champion's test part" in warning
    assert "pass unseen faces with --data" in warning
    against = next(one for one in decision.checks if one.rule == "macro-F1 against the champion")
    assert against.required == "interval above 1, as these faces favour the new version"
    with_all = run(tiny("baseline", faces_folder, seed=2)).valid.num_faces
    assert (decision.checks[0].measured, with_all) == ("7", 14)


def test_faces_that_have_changed_since_training_decide_nothing(
    faces_folder: Path, tmp_path: Path
) -> None:
    version: Any = SimpleNamespace(
        uri="models:/fer-classifier/2",
        experiment=tiny("baseline", faces_folder),
        provenance=SimpleNamespace(digest="0" * 16),
        classifier=SimpleNamespace(image_size=32),
    )
    with pytest.raises(DataError, match="or their split have changed since models:/fer-classifier/2"):
        promotion_test_set([version], None, tmp_path / "cache", no_progress)


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
    assert broken(decide(2)) == ["loads, answers as stored"]


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
        r"registered_model.py, which MLflow runs, is not published by fer_mlops; "
        r"1 of the \d+ package files stored with it differ from this installation",
        found,
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


def test_a_move_that_was_killed_between_its_two_aliases_has_no_way_back(bare_versions: None) -> None:
    MlflowClient().set_registered_model_alias(REGISTERED_NAME, PREVIOUS, "1")  # as champion is
    with pytest.raises(ModelError, match="no previous champion"):
        roll_back()


def test_of_two_decisions_at_once_one_is_written_down_and_the_other_changes_nothing(
    bare_versions: None, verdict: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = ensure_experiment("fer_mlops")
    both = threading.Barrier(2, timeout=60)
    monkeypatch.setattr(gate, "_checks", lambda *_: (both.wait(), iter(verdict))[1])

    def decided(version: int) -> Decision | ModelError:
        try:
            return decide(version)
        except ModelError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        told = dict(zip((2, 3), pool.map(decided, (2, 3)), strict=True))
    winner = champion()
    late = told.pop(5 - winner)
    assert isinstance(late, ModelError)
    assert str(late).startswith(f"version {winner} became champion while this was decided against")
    client = MlflowClient()
    tags = {n: client.get_model_version(REGISTERED_NAME, str(n)).tags for n in (2, 3)}
    assert tags[winner]["decision"].startswith("champion: passed all 2 rules")
    assert tags[5 - winner] == {}
    runs = {run.info.status for run in client.search_runs([experiment.experiment_id])}
    assert runs == {"FINISHED", "FAILED"}


@pytest.mark.parametrize("call", ["log_batch", "set_model_version_tag", "update_model_version"])
def test_a_decision_that_cannot_be_written_down_moves_nothing(
    call: str, bare_versions: None, verdict: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full")

    before = all_aliases()
    with monkeypatch.context() as broken_store:
        broken_store.setattr(MlflowClient, call, refused)
        with pytest.raises(TrackingError, match="the disk is full"):
            decide(2)
    assert all_aliases() == before
    assert decide(2).is_promoted


def test_a_champion_that_the_registry_does_not_take_is_not_written_down_as_one(
    bare_versions: None, verdict: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = MlflowClient.set_registered_model_alias

    def refused(self: MlflowClient, name: str, alias: str, version: str) -> None:
        if alias == CHAMPION:
            raise MlflowException("the disk is full")
        real(self, name, alias, version)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", refused)
    with pytest.raises(TrackingError, match="the disk is full"):
        decide(2)
    assert champion() == 1
    stored = MlflowClient().get_model_version(REGISTERED_NAME, "2")
    assert stored.tags["decision"].startswith("not promoted: passed all 2 rules")
    assert "champion: passed" not in stored.description


def test_a_promotion_stands_where_the_old_alias_cannot_be_cleared(
    bare_versions: None, verdict: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise MlflowException("the disk is full")

    monkeypatch.setattr(MlflowClient, "delete_registered_model_alias", refused)
    assert decide(2).outcome == CHAMPION
    assert champion() == 2


def test_a_version_that_fails_does_not_take_challenger_from_a_newer_one(
    bare_versions: None, verdict: list[Check]
) -> None:
    verdict[0] = dataclasses.replace(verdict[0], is_passed=False)
    assert decide(3).outcome == CHALLENGER
    assert decide(2).outcome == REFUSED
    assert all_aliases() == {CHAMPION: 1, CHALLENGER: 3}
    assert MlflowClient().get_model_version(REGISTERED_NAME, "2").tags["decision"] == (
        "refused: macro-F1: .9"
    )


def test_the_gate_reads_no_data_of_a_version_that_this_process_trained(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = [run(tiny("baseline", faces_folder)) for _ in range(2)][1]
    read = decide(2)
    roll_back()
    for name in (
        "promotion_data.load_table",
        "promotion_data.divide_faces",
        "shared_test_set.decode_faces",
    ):
        monkeypatch.setattr(f"fer_mlops.pipelines.{name}", None)
    reused = decide(2, data=trained.data)
    assert (reused.faces, reused.warnings, reused.outcome) == (read.faces, read.warnings, CHAMPION)
    timeless = ("faces to compare on", "macro-F1", "calibration error", "worst slice", "loads, answers")
    for ours, theirs in zip(reused.checks, read.checks, strict=True):
        assert ours.rule == theirs.rule
        assert ours == theirs or not ours.rule.startswith(timeless) or "champion" in ours.rule


def test_a_version_that_does_not_load_is_no_challenger(
    bare_versions: None, verdict: list[Check]
) -> None:
    verdict[1] = dataclasses.replace(verdict[1], is_passed=False)
    assert decide(3).outcome == REFUSED
    assert all_aliases() == {CHAMPION: 1, CHALLENGER: 2}
    assert decide(2).outcome == REFUSED
    assert all_aliases() == {CHAMPION: 1}


def test_a_version_is_not_promoted_if_another_became_champion_meanwhile(
    bare_versions: None, verdict: list[Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "promote", functools.partial(_overtaken, by=3))
    with pytest.raises(ModelError, match="version 3 became champion while"):
        through_the_gate(2, "fer_mlops")


def _overtaken(version: int, *words: Any, by: int, **options: Any) -> Decision:
    """Promotes while another promotion is made between the measuring and the move."""
    with pytest.MonkeyPatch.context() as patch:
        checks = gate._checks
        patch.setattr(gate, "_checks", lambda *about: (move_champion(by, 1), checks(*about))[1])
        return promote(version, *words, **options)


def test_all_versions_are_listed_with_two_questions(
    bare_versions: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[str] = Counter()
    for name in ("search_model_versions", "get_registered_model", "get_model_version"):
        real = getattr(MlflowClient, name)
        counted = lambda *words, name=name, real=real: (asked.update([name]), real(*words))[1]  # noqa: E731
        monkeypatch.setattr(MlflowClient, name, counted)
    monkeypatch.setattr(MlflowClient, "get_model_version_by_alias", None)
    found = list_versions()
    assert [one.aliases for one in found] == [(), ("challenger",), ("champion",)]
    assert asked == {"search_model_versions": 1, "get_registered_model": 1}


@pytest.mark.parametrize(
    ("low", "is_cheaper", "is_common", "is_passed"),
    [
        (0.01, False, True, True),
        (-0.01, True, True, True),
        (-0.01, False, True, False),
        (0.01, True, False, False),  # a lead that the choice of the faces may explain
        (0.03, False, False, True),
    ],
)
def test_on_faces_that_chose_the_version_it_must_lead_by_the_margin(
    low: float, is_cheaper: bool, is_common: bool, is_passed: bool
) -> None:
    difference = SimpleNamespace(low=low, probability=0.99)
    own, other = (SimpleNamespace(speed=SimpleNamespace(milliseconds=1), num_bytes=n) for n in (1, 2))
    pair = (own, other) if is_cheaper else (own, own)
    check = gate._against(GateRules(), SimpleNamespace(macro_f1=difference), *pair, is_common)  # type: ignore[arg-type]
    assert check.is_passed is is_passed


def test_a_version_that_is_loaded_by_alias_cannot_be_deleted(bare_versions: None) -> None:
    with pytest.raises(ModelError, match="version 1 of fer-classifier is champion"):
        delete_version(1)
    delete_version(3)
    assert [one.number for one in list_versions()] == [2, 1]
    with pytest.raises(ModelError, match="has no version 3; it has: "):
        delete_version(3)


def test_the_candidate_is_the_challenger_a_version_or_what_a_run_made(bare_versions: None) -> None:
    assert find_candidate(None, "") == 2
    assert find_candidate(3, "") == 3
    assert find_candidate(None, version_of("champion").run_id) == 1
    with pytest.raises(ConfigError, match="give only one"):
        find_candidate(1, "abc")
    with pytest.raises(ModelError, match="run abc has registered no version"):
        find_candidate(None, "abc")
    with pytest.raises(ModelError, match=r"has no version 9; it has: [0-9, ]+$"):
        find_candidate(9, "")
    MlflowClient().delete_registered_model_alias(REGISTERED_NAME, "challenger")
    with pytest.raises(ModelError, match="no challenger"):
        find_candidate(None, "")


def test_two_versions_differ_in_what_was_set_otherwise(world: Path, faces_folder: Path) -> None:
    run(tiny("baseline", faces_folder))
    run(tiny("baseline", faces_folder, hog_svm__components=10))
    found = {what: (one, other) for what, one, other in differences(version_of("1"), version_of("2"))}
    assert found["hog_svm.components"] == (20, 10)
    assert all(key.startswith(("hog_svm.components", "test/")) for key in found)


def test_the_projects_own_rules_are_the_defaults_written_out() -> None:
    assert read_rules(gate_file()) == GateRules()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ece_celing: 1", "did you mean ece_ceiling"),
        ("margin: -1", "margin must be 0 or more, got -1"),
        ("margin: soon", "got 'soon'"),
        ("[1, 2]", "must be a mapping"),
        ("{", "is not valid YAML: while"),
    ],
)
def test_wrong_rules_end_in_one_sentence(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "gate.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_rules(file)


def test_a_store_that_does_not_answer_is_not_taken_for_a_missing_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MlflowException("the database is locked")

    monkeypatch.setattr(MlflowClient, "get_model_version", fail)
    with pytest.raises(MlflowException, match="the database is locked"):
        version_of("1")
