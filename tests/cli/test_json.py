"""``--json``: the whole result of every command as JSON, alone on standard output."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pytest
from commands import COMMANDS, fer
from expert_files import install
from lasting import lasting_store
from mlflow import MlflowClient
from quick import bundle
from tiny import run, tiny

from fer_mlops.cli.result import as_text
from fer_mlops.evaluation.repeats import Repeat, Repeats
from fer_mlops.models.calibration import OPERATING_POINTS
from fer_mlops.pipelines import compare
from fer_mlops.pipelines.cross_validate import Repetition
from fer_mlops.pipelines.train import Trained
from fer_mlops.pipelines.train_all import Suite
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.tuning.finalists import Finalist
from fer_mlops.tuning.tune import Sweep

ROOT = Path(__file__).parents[2]
SILENT = {"run", "serve", "ui"}
"""Commands that end with nothing to tell: they start another program."""


@dataclass(frozen=True)
class Place:
    """Three versions, faces and a network, in a folder that all commands use."""

    folder: Path
    faces: Path
    face: str
    trained: tuple[Trained, Trained]

    @property
    def network(self) -> list[str]:
        return ["--model", str(self.folder / "bundle")]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    empty_store: Path,
    drawn_cache: Path,
    faces_folder: Path,
) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("json")
    with lasting_store(folder, empty_store, drawn_cache), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "log_figure", lambda *_: None)
        trained = run(tiny("baseline", faces_folder)), run(tiny("baseline", faces_folder))
        store = MlflowClient()
        store.create_model_version("fer-classifier", (folder / "none").as_uri())
        store.set_registered_model_alias("fer-classifier", "previous", "2")
        bundle(folder)
        face = str(next(faces_folder.glob("happiness/*.png")))
        yield Place(folder, faces_folder, face, trained)


@pytest.fixture
def quick(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives commands that train, or that download, a result made before."""
    install(tmp_path, monkeypatch)
    for alias, version in (("champion", "1"), ("previous", "2")):  # as before a rollback or promotion
        MlflowClient().set_registered_model_alias("fer-classifier", alias, version)
    one, other = place.trained
    comparison, _ = compare.compare_trained([one, other])
    scores = {
        point: {"accuracy": 0.5, "balanced_accuracy": 0.4, "macro_f1": 0.3} for point in OPERATING_POINTS
    }
    runs = tuple(Repeat(f"seed {seed}", "a" * 32, 28, 1.0, scores) for seed in range(2))
    repeats = Repeats("seeds", "transfer", "faces, identity split", runs)
    trial = optuna.trial.create_trial(value=0.5)
    sweep = Sweep(
        study_name="s",
        experiment_id=one.experiment_id,
        run_id="b" * 32,
        num_trials=1,
        best_trial=0,
        best_value=0.5,
        finalists=(Finalist(trial, (0.4, math.nan), True),),
        winner_settings={"hog_svm.c": math.inf},
        winner_recipe="family: baseline",
        winner_run=one.run_id,
        winner=one,
    )
    made = {
        "fer_mlops.pipelines.train.run_tracked": one,
        "fer_mlops.pipelines.train_all.train_all": Suite("c" * 32, (one, other), comparison),
        "fer_mlops.pipelines.cross_validate.repeat_seeds": Repetition(
            run_id="d" * 32, experiment_id="1", trained=(one,), repeats=repeats, pooled=one.test
        ),
        "fer_mlops.tuning.tune.tune": sweep,
        "fer_mlops.data.datasets.download.download": Path("got"),
        "fer_mlops.models.experts.get_weights": Path("stored"),
    }
    for name, value in made.items():
        monkeypatch.setattr(name, lambda *_, _value=value, **__: _value)
    for name in ("fer_mlops.cli.tune", "fer_mlops.cli.train"):  # the gate is tried by promote
        monkeypatch.setattr(f"{name}.promote_trained", lambda _: None)


Words = Callable[[Place], list[str]]
ANSWERS: dict[str, Words] = {
    "baseline": lambda p: ["--data", str(p.faces)],
    "cnn": lambda p: ["--data", str(p.faces)],
    "transfer": lambda p: ["--data", str(p.faces), "--seeds", "2"],
    "ensemble": lambda p: ["--data", str(p.faces)],
    "all": lambda p: ["--data", str(p.faces)],
    "tune": lambda p: ["baseline", "--data", str(p.faces)],
    "data check": lambda p: [str(p.faces), "--fast"],
    "data split": lambda p: [str(p.faces), "--out", "split.csv"],
    "data list": lambda p: [],
    "data download": lambda p: ["muxspace", "--to", "got"],
    "evaluate": lambda p: ["--no-robustness"],
    "explain": lambda p: [p.face, "--out", "explained", *p.network],
    "compare": lambda p: ["--models", "models:/fer-classifier/1,models:/fer-classifier/2"],
    "predict": lambda p: [p.face, *p.network],
    "score": lambda p: [str(p.faces), "--out", "scored", *p.network],
    "export": lambda p: ["--onnx", "model.onnx", *p.network],
    "promote": lambda p: ["--version", "2"],
    "rollback": lambda p: [],
    "registry list": lambda p: [],
    "registry show": lambda p: ["1"],
    "registry diff": lambda p: ["1", "2"],
    "registry relocate": lambda p: [],
    "registry delete": lambda p: ["3"],
    "checks": lambda p: [],
    "init": lambda p: [],
    "weights list": lambda p: [],
    "weights get": lambda p: ["face_api"],
}
"""Arguments of each command that has a result."""
LISTS = {
    "data list",
    "explain",
    "predict",
    "registry list",
    "registry relocate",
    "checks",
    "weights list",
}
_TRAINED = {"run_id", "test", "registered", "promotion", "next"}
KEYS = {
    "baseline": _TRAINED,
    "cnn": _TRAINED,
    "transfer": {"runs", "spread", "pooled"},
    "ensemble": _TRAINED,
    "all": {"trained", "comparison", "promotion"},
    "tune": {"winner_settings", "best_value", "winner"},
    "data check": {"findings", "verdict", "num_faces"},
    "data split": {"parts"},
    "data download": {"folder", "terms"},
    "evaluate": {"model", "data", "warnings"},
    "compare": {"entries", "matches", "faces"},
    "score": {"out", "num_rows", "num_bad"},
    "export": {"path", "num_bytes", "largest_difference"},
    "promote": {"is_promoted", "checks", "reason"},
    "rollback": {"champion", "previous"},
    "registry show": {"number", "card", "test_macro_f1"},
    "registry diff": {"versions", "differences"},
    "registry delete": {"deleted"},
    "init": {"file", "family"},
    "weights get": {"face_api"},
}
"""Keys that a result has, among others."""


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_with_a_result_has_the_option(name: str) -> None:
    options = {flag for each in COMMANDS[name].params for flag in each.opts}
    assert ("--json" in options) == (name not in SILENT), "return a Result from the command"
    assert (name in ANSWERS) == (name not in SILENT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.usefixtures("quick")
def test_every_command_prints_its_result_as_json_alone(
    name: str, place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = fer(capfd, *name.split(), *ANSWERS[name](place), "--json")
    assert status in (0, 1 if name == "promote" else 0), err
    found = json.loads(out, parse_constant=refuse)
    assert "Traceback" not in err
    assert isinstance(found, list) == (name in LISTS)
    assert name in LISTS or KEYS[name] <= found.keys()


@pytest.mark.slow
def test_the_rows_of_lists_have_names(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    _, out, _ = fer(capfd, "registry", "list", "--json")
    versions = {row["number"]: row for row in json.loads(out)}
    assert isinstance(versions[1]["test_macro_f1"], float)
    assert isinstance(versions[1]["test_n"], int)
    _, out, _ = fer(capfd, "predict", place.face, *place.network, "--json")
    _, line, _ = fer(capfd, "predict", place.face, *place.network, "--format", "json")
    assert json.loads(out) == [json.loads(line)]
    _, out, _ = fer(capfd, "data", "list", "--json")
    assert {"name", "layout", "where", "terms"} == set(json.loads(out)[0])


def test_the_documentation_lists_every_command_with_json() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip(" `") for line in page.splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(ANSWERS)


def test_what_is_unknown_is_null_and_what_is_numpys_is_a_number() -> None:
    value = {"a": float("nan"), 1: (np.float32(0.5), np.int64(2)), "p": Path("x"), "i": iter([np.inf])}
    assert json.loads(as_text(value)) == {"a": None, "1": [0.5, 2], "p": "x", "i": [None]}


@pytest.mark.slow
def test_an_image_without_a_prediction_is_told_on_standard_error(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = fer(capfd, "predict", place.face, "nowhere.png", *place.network, "--json")
    assert status == 1
    assert len(json.loads(out)) == 1
    assert "nowhere.png" in err


@pytest.mark.slow
@pytest.mark.parametrize("words", [["webcam"], ["a.png", "--format", "csv"]], ids=" ".join)
def test_json_of_a_camera_or_beside_another_format_is_refused(
    words: list[str], place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = fer(capfd, "predict", *words, *place.network, "--json")
    assert (status, out) == (2, "")
    assert "give one" in err


@pytest.mark.slow
def test_a_failed_data_check_prints_json_and_status_1(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ["data", "check", str(place.faces), "--fast", "--fail-on", "note"]
    status, out, _ = fer(capfd, *words, "--json")
    assert status == 1
    report = json.loads(out)
    for form in (["--json", "old.json"], ["--json=old.json"], ["--json-file", "new.json"]):
        assert fer(capfd, *words, *form)[0] == 1
        assert json.loads((place.folder / form[-1].removeprefix("--json=")).read_text()) == report
