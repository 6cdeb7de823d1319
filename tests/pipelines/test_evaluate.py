"""Trained models judged again, on their own test faces and on others."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tiny import run, tiny

from fer_mlops.data.datasets.sample import draw_sample
from fer_mlops.errors import ConfigError
from fer_mlops.files import cache_folder
from fer_mlops.pipelines.evaluate import _free_part, _names_of, choose_faces, evaluate_model
from fer_mlops.tracking.outbox import stored_name
from fer_mlops.tracking.runs import track


@pytest.mark.draws
def test_a_model_is_judged_on_its_own_test_part_and_on_other_data_side_by_side(
    world: Path, faces_folder: Path, tmp_path: Path
) -> None:
    others = [tmp_path / "jan" / "other (1)", tmp_path / "feb" / "other (1)"]
    for number, folder in enumerate(others):
        draw_sample(folder, num_identities=3 - number, variants=1, seed=9 + number)
    trained = run(tiny("baseline", faces_folder))
    name = f"runs:/{trained.run_id}"
    with track("fer_mlops", "evaluate") as tracker:
        sources = [str(faces_folder), *map(str, others), str(others[0])]
        found = evaluate_model(name, sources, tracker, cache_folder(), with_robustness=False)
    own, elsewhere, third = found.results
    assert own.faces == f"test part of {faces_folder.name}, identity split"
    assert elsewhere.faces == "all of other (1)"
    assert third.faces == f"all of other (1) ({others[1]})"
    assert own.report.macro_f1 == trained.test.macro_f1  # type: ignore[union-attr]
    assert elsewhere.report.num_faces == 21
    assert len(json.loads(found.as_json())["data"]) == 3
    logged = MlflowClient().get_run(tracker.run_id).data
    assert logged.metrics[f"evaluate_{faces_folder.name}/macro_f1"] == own.report.macro_f1.value
    first, second = (stored_name(f"evaluate_other (1){more}") for more in ("", "-2"))
    assert (logged.metrics[f"{first}/faces"], logged.metrics[f"{second}/faces"]) == (21, 14)
    for part in (first, second, f"evaluate_{faces_folder.name}"):
        files = {item.path for item in MlflowClient().list_artifacts(tracker.run_id, part)}
        assert f"{part}/occlusion.png" in files
    files = {item.path for item in MlflowClient().list_artifacts(tracker.run_id, "evaluate")}
    assert "evaluate/report.html" in files
    sheets = re.findall(r'src="([^"]+)" alt="heat map of', found.page)
    assert len(set(sheets)) == 3 * 7


def test_every_data_set_has_a_part_that_no_other_writes_to() -> None:
    parts: set[str] = set()
    for name in ("faces", "faces", "faces_natural", "faces-2"):
        part = _free_part(name, parts)
        assert not _names_of(part) & parts
        parts |= _names_of(part)


def test_faces_of_people_a_model_learned_from_are_said_to_flatter(
    world: Path, faces_folder: Path, tmp_path: Path
) -> None:
    trained = run(tiny("baseline", faces_folder))
    again = tmp_path / "again"
    draw_sample(again, num_identities=20, variants=2, seed=3)  # the same twenty people
    chosen = choose_faces(f"runs:/{trained.run_id}", str(again), 32, cache_folder())
    assert chosen.described == "all of again"
    assert "Optimistic" in chosen.warning
    for number, path in enumerate(sorted(again.glob("*/*.png"))):
        path.rename(path.with_name(f"{number:04}.png"))
    chosen = choose_faces(f"runs:/{trained.run_id}", str(again), 32, cache_folder())
    assert chosen.warning == (
        "The share of these faces that show a person from training is unknown: no face has an identity."
    )


def test_a_random_split_is_said_to_flatter(world: Path, faces_folder: Path) -> None:
    trained = run(tiny("baseline", faces_folder, data__split="random"))
    chosen = choose_faces(f"runs:/{trained.run_id}", None, 32, cache_folder())
    assert chosen.warning.startswith("Optimistic: 100% of the test faces")


def test_test_photos_that_are_also_in_train_are_said_to_flatter(
    world: Path, faces_folder: Path, tmp_path: Path
) -> None:
    parts = tmp_path / "parts"
    for number, face in enumerate(sorted(faces_folder.glob("*/*.png"))):
        folder = parts / ("train" if number % 5 else "test") / face.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(face, folder)
    face = next(parts.glob("test/*/*.png"))
    shutil.copy(face, parts / "train" / face.parent.name / "stranger_1.png")
    trained = run(tiny("baseline", parts, data__split="given"))
    chosen = choose_faces(f"runs:/{trained.run_id}", None, 32, cache_folder())
    assert "of the test faces are near duplicates of photos in train." in chosen.warning


def test_a_bare_folder_must_be_given_data(world: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pass --data"):
        choose_faces(str(tmp_path), None, 32, cache_folder())
