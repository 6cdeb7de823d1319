"""Trained models judged again, on their own test faces and on others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tiny import run, tiny

from fer_mlops.cache import cache_folder
from fer_mlops.datasets.sample import draw_sample
from fer_mlops.errors import ConfigError
from fer_mlops.judging import choose_faces, judge
from fer_mlops.tracking import track


def test_a_model_is_judged_on_its_own_test_part_and_on_other_data_side_by_side(
    world: Path, faces_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    draw_sample(other, num_identities=3, variants=1, seed=9)
    trained = run(tiny("baseline", faces_folder))
    name = f"runs:/{trained.run_id}"
    with track("fer_mlops", "evaluate") as tracker:
        sources = [str(faces_folder), str(other)]
        found = judge(name, sources, tracker, cache_folder(), worsens=False)
    own, elsewhere = found.judgements
    assert own.faces == f"test part of {faces_folder.name}, identity split"
    assert elsewhere.faces == "all of other"
    assert own.report.macro_f1 == trained.test.macro_f1  # type: ignore[union-attr]
    assert elsewhere.report.num_faces == 21
    assert len(json.loads(found.as_json())["data"]) == 2
    logged = MlflowClient().get_run(tracker.run_id).data
    assert logged.metrics[f"evaluate_{faces_folder.name}/macro_f1"] == own.report.macro_f1.value
    assert logged.metrics["evaluate_other/faces"] == 21
    files = {f.path for f in MlflowClient().list_artifacts(tracker.run_id, "evaluate")}
    assert "evaluate/report.html" in files


def test_faces_of_people_a_model_learned_from_are_said_to_flatter(
    world: Path, faces_folder: Path, tmp_path: Path
) -> None:
    trained = run(tiny("baseline", faces_folder))
    again = tmp_path / "again"
    draw_sample(again, num_identities=20, variants=2, seed=3)  # the same twenty people
    chosen = choose_faces(f"runs:/{trained.run_id}", str(again), 32, cache_folder())
    assert chosen.described == "all of again"
    assert "Optimistic" in chosen.warning


def test_a_random_split_is_said_to_flatter(world: Path, faces_folder: Path) -> None:
    trained = run(tiny("baseline", faces_folder, data__split="random"))
    chosen = choose_faces(f"runs:/{trained.run_id}", None, 32, cache_folder())
    assert chosen.warning.startswith("Optimistic: 100% of the test faces")


def test_a_bare_folder_must_be_given_data(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pass --data"):
        choose_faces(str(tmp_path), None, 32, cache_folder())
