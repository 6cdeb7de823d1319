"""One run from faces to a registered model, for every family, as a person sees it in MLflow."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from expert_files import install
from lasting import lasting_store
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image
from tiny import SETTINGS, run, tiny, train

from fer_mlops import REGISTERED_NAME
from fer_mlops.config import FAMILIES
from fer_mlops.data.loading import prepare_data
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.report import Report
from fer_mlops.files import cache_folder
from fer_mlops.models.classifier import Classifier
from fer_mlops.pipelines.train import Trained, run_experiment, run_name
from fer_mlops.tracking.alias_lock import find_version
from fer_mlops.tracking.queries import load_run_config
from fer_mlops.tracking.registration import Registration
from fer_mlops.tracking.registry import load_classifier
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.tracking.runs import track
from fer_mlops.training.checkpoints import load_checkpoint
from fer_mlops.training.steps import Step


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, empty_store: Path, drawn_cache: Path, faces_folder: Path
) -> Iterator[dict[str, Trained]]:
    """Every family trained once; the folder of the store is in MLFLOW_TRACKING_URI."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch, lasting_store(folder, empty_store, drawn_cache):
        install(tmp_path_factory.mktemp("experts"), patch)
        yield {family: run(tiny(family, faces_folder)) for family in FAMILIES}


def artifacts(run_id: str, path: str = "") -> list[str]:
    client = MlflowClient()
    found = []
    for item in client.list_artifacts(run_id, path):
        found += artifacts(run_id, item.path) if item.is_dir else [item.path]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_shows_settings_facts_and_data(family: str, trained: dict[str, Trained]) -> None:
    found = MlflowClient().get_run(trained[family].run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params["family"] == family
    assert found.data.params["data.split"] == "identity"
    tags = found.data.tags
    assert tags["split"] == "identity"
    assert tags["test_used"].startswith("once")
    assert tags["test_faces_of_known_people"] == "0.000"
    assert {"git_commit", "data", "data_digest", "registered_version"} <= tags.keys()
    inputs = {i.tags[0].value: i.dataset for i in found.inputs.dataset_inputs}
    assert set(inputs) == {"train", "valid", "test"}
    assert all(len(dataset.digest) == 16 for dataset in inputs.values())
    assert load_run_config(trained[family].run_id).family == family


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_has_metrics_at_every_step(family: str, trained: dict[str, Trained]) -> None:
    steps = {"baseline": 2, "cnn": 2, "transfer": 3, "ensemble": 2}[family]
    names = ["valid/loss", "valid/accuracy", "valid/macro_f1", "valid/balanced_accuracy"]
    if family in ("cnn", "transfer"):
        names += ["train/loss", "train/learning_rate", "train/seconds_per_epoch"]
    for name in names:
        history = MlflowClient().get_metric_history(trained[family].run_id, name)
        assert [point.step for point in history] == list(range(1, steps + 1)), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_ends_with_few_metrics_and_the_scores_of_every_emotion_in_a_file(
    family: str, trained: dict[str, Trained]
) -> None:
    metrics = MlflowClient().get_run(trained[family].run_id).data.metrics
    assert metrics["test/faces"] == 28
    assert len(metrics) <= 30
    for part in ("final_valid", "test"):
        stored = mlflow.artifacts.load_dict(f"runs:/{trained[family].run_id}/{part}/report.json")
        assert 0 <= stored["confidence"]["answered_share"] <= 1
        scores = stored["points"]["default"] if part == "test" else stored
        assert [row["emotion"] for row in scores["classes"]] == list(EMOTIONS)
        assert {"precision", "recall", "f1", "auroc"} <= scores["classes"][0].keys()
    assert metrics["test/people"] < 5  # of so few no interval is known, so none is logged
    assert not {"test/macro_f1_low", "test/macro_f1_high"} & metrics.keys()
    assert 0 <= metrics["test/macro_f1"] <= 1


@pytest.mark.parametrize("family", FAMILIES)
def test_no_metric_of_a_run_is_a_folder_of_another(family: str, trained: dict[str, Trained]) -> None:
    names = MlflowClient().get_run(trained[family].run_id).data.metrics.keys()
    folders = {name[:end] for name in names for end, letter in enumerate(name) if letter == "/"}
    assert not folders & names


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_has_images_with_steps_and_figures(family: str, trained: dict[str, Trained]) -> None:
    files = artifacts(trained[family].run_id)
    method = "occlusion" if family == "baseline" else "gradcam"
    for key in ("confusion_matrix~valid", f"{method}~happiness", f"{method}~anger"):
        assert any(key in file and "step" in file and file.endswith(".png") for file in files), key
    last = {"baseline": 2, "cnn": 2, "transfer": 3, "ensemble": 2}[family]
    for step in ("+step+0+", f"+step+{last}+"):  # the slider opens at 0
        assert any(f"{method}~anger{step}" in file for file in files), step
    expected = {"training_curves.png", "test/confusion_matrix.png", "test/per_class.png"}
    assert expected | {f"test/{method}.png", "test/report.json", "data/split.csv"} <= set(files)


def test_the_first_version_is_champion_and_later_ones_wait_for_the_gate(
    trained: dict[str, Trained],
) -> None:
    for family, version in (("baseline", 1), ("cnn", 2), ("transfer", 3)):
        made = trained[family].registration
        assert made is not None
        assert (made.version, made.alias) == (version, "champion" if version == 1 else "challenger")
        stored = MlflowClient().get_model_version(REGISTERED_NAME, str(version))
        assert stored.tags["family"] == family
        score = trained[family].valid.macro_f1.value
        assert float(stored.tags["valid_macro_f1"]) == pytest.approx(score, abs=1e-6)
    assert find_version("champion") is not None


def test_every_version_carries_its_card(trained: dict[str, Trained]) -> None:
    for one in trained.values():
        assert one.registration is not None
        stored = MlflowClient().get_model_version(REGISTERED_NAME, str(one.registration.version))
        assert stored.description.startswith(f"# {REGISTERED_NAME}/{one.registration.version}\n")
        assert str(one.test.macro_f1) in stored.description
        files = {file.path for file in MlflowClient().list_artifacts(one.run_id)}
        assert "model_card.html" in files


LOAD = """
import json, sys
import mlflow, pandas as pd
images = [open(path, "rb").read() for path in sys.argv[1:]]
for version in (1, 2):
    model = mlflow.pyfunc.load_model(f"models:/fer-classifier/{version}")
    print(json.dumps(model.predict(pd.DataFrame({"image": images})).to_dict("records")))
print(json.dumps(model.predict(pd.DataFrame({"image": images[:1]})).to_dict("records")))
"""


def test_another_process_loads_models_by_name_without_pickles(
    trained: dict[str, Trained], faces_folder: Path, tmp_path: Path
) -> None:
    images = sorted(faces_folder.glob("*/p00[0-4]_0.png"))
    # -I keeps this checkout out of the path: the model must bring its own source
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, images)],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    for family, rows in zip(("baseline", "cnn"), answers[:2], strict=True):  # it knows no tiny backbone
        classifier = trained[family].classifier
        expected = classifier.predict_proba(classifier.prepare(images))
        table = pd.DataFrame(rows)
        np.testing.assert_allclose(table[list(EMOTIONS)].to_numpy(), expected, atol=1e-5)
        assert table["emotion"].tolist() == [EMOTIONS[i] for i in expected.argmax(1)]
        np.testing.assert_allclose(table["confidence"], expected.max(1), atol=1e-5)
        assert table["is_sure"].tolist() == classifier.calibration.is_sure(expected).tolist()
    assert answers[2][0]["emotion"] == answers[1][0]["emotion"]


def test_a_registered_model_refuses_what_is_no_image(trained: dict[str, Trained]) -> None:
    model = mlflow.pyfunc.load_model(f"models:/{REGISTERED_NAME}/1")
    with pytest.raises(MlflowException, match="image 0 of 1") as caught:
        model.predict(pd.DataFrame({"image": [b"no image"]}))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_loads_by_run_version_alias_and_folder(family: str, trained: dict[str, Trained]) -> None:
    names = [f"runs:/{trained[family].run_id}", f"models:/{REGISTERED_NAME}@champion"]
    assert load_classifier(names[0]).family == family
    assert load_classifier(names[1]).family in FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_says_its_score_and_the_commands_to_run_next(
    family: str, trained: dict[str, Trained]
) -> None:
    one = trained[family]
    assert one.registration
    note = MlflowClient().get_run(one.run_id).data.tags["mlflow.note.content"]
    assert note.startswith(f"**Test macro-F1 {one.test.macro_f1}** on 28 faces of 4 people of *")
    explain, evaluate = one.next_commands
    assert {f"- **Next**: `{command}`" for command in (explain, evaluate)} <= set(note.splitlines())
    model = f"models:/fer-classifier/{one.registration.version}"
    assert evaluate == f"fer-mlops evaluate --model {model} --out report"
    words = explain.split()
    assert Path(words[2]).is_file()
    assert words[3:] == ["--model", model]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_named_after_its_family_and_data(
    family: str, trained: dict[str, Trained], faces_folder: Path
) -> None:
    one = trained[family]
    named = f"source_run_id = '{one.run_id}'"
    (model,) = MlflowClient().search_logged_models([one.experiment_id], named)
    assert model.name == f"{family}-{faces_folder.name}"
    assert load_classifier(f"runs:/{one.run_id}/classifier").family == family  # as of earlier releases
    assert run_name(one.experiment, one.data, "fast") == f"{family} fast · {faces_folder.name} · seed 0"


@pytest.mark.parametrize("flaw", ["one_emotion", "no_gain"])
def test_a_model_that_predicts_one_emotion_or_does_no_better_is_said_and_gets_no_alias(
    flaw: str, world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Report, flaw, lambda _: "predicts anger for 28 of 28")
    flawed = run(tiny("baseline", faces_folder))
    said = "this model predicts anger for 28 of 28 validation faces: train longer, or on more faces"
    assert flawed.flaw == said
    assert MlflowClient().get_run(flawed.run_id).data.tags["flaw"] == said
    assert flawed.registration == Registration(1, "no alias", said)
    assert find_version("champion") is None


def test_the_same_config_gives_the_same_numbers(trained: dict[str, Trained], faces_folder: Path) -> None:
    for family in FAMILIES:
        assert train(tiny(family, faces_folder)).test == trained[family].test


def test_a_run_registers_nothing_if_told_so(world: Path, faces_folder: Path) -> None:
    ended = run(tiny("baseline", faces_folder, tracking__register=False))
    assert ended.registration is None
    assert MlflowClient().search_logged_models([ended.experiment_id])
    assert find_version("champion") is None


@pytest.mark.parametrize(("failure", "status"), [(KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")])
def test_a_run_that_is_stopped_ends_so_and_registers_nothing(
    failure: type[BaseException], status: str, world: Path, faces_folder: Path
) -> None:
    def stop(step: Step) -> None:
        raise failure

    with pytest.raises(failure):
        run(tiny("cnn", faces_folder), on_step=stop)
    (found,) = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert found.info.status == status
    assert find_version("champion") is None


@pytest.mark.parametrize(("family", "stop_after"), [("cnn", 1), ("transfer", 1), ("transfer", 3)])
def test_a_killed_run_goes_on_to_the_same_numbers(
    family: str, stop_after: int, world: Path, faces_folder: Path
) -> None:
    experiment = tiny(family, faces_folder, training__epochs=2, tracking__images_every=0)
    whole = run(experiment)
    checkpoint = world / "checkpoint.pt"

    def stop(step: Step) -> None:
        if step.number == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(experiment, on_step=stop, checkpoint=checkpoint)
    killed = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")[0]
    data = prepare_data(experiment, cache_folder())
    with track("fer_mlops", family, resume=killed.info.run_id) as tracker:
        resumed = run_experiment(
            experiment, data, tracker, checkpoint=checkpoint, resume_from=load_checkpoint(checkpoint)
        )
    assert resumed.run_id == killed.info.run_id
    assert resumed.test == whole.test
    for name in ("valid/loss", "train/loss"):
        histories = [
            [(point.step, point.value) for point in MlflowClient().get_metric_history(run_id, name)]
            for run_id in (whole.run_id, resumed.run_id)
        ]
        assert histories[0] == histories[1]
    assert not checkpoint.exists()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_has_test_scores_at_the_natural_and_the_balanced_point(
    family: str, trained: dict[str, Trained]
) -> None:
    metrics = MlflowClient().get_run(trained[family].run_id).data.metrics
    for point, report in trained[family].operating_points.items():
        assert metrics[f"test_{point}/macro_f1"] == pytest.approx(report.macro_f1.value)
        assert report.num_faces == metrics["test/faces"]
    assert set(trained[family].operating_points) == {"natural", "balanced"}


def test_a_run_carries_what_the_doctor_says_of_its_data(trained: dict[str, Trained]) -> None:
    run_id = trained["baseline"].run_id
    findings = json.loads(mlflow.artifacts.load_text(f"runs:/{run_id}/data/findings.json"))
    kinds = {finding["kind"] for finding in findings if finding["severity"] != "note"}
    tags = MlflowClient().get_run(run_id).data.tags
    assert "few-faces" in kinds
    assert {key.removeprefix("data.") for key in tags if key.startswith("data.")} == kinds


def test_a_random_split_is_labelled_optimistic(world: Path, faces_folder: Path) -> None:
    log = RunLog()
    train(tiny("baseline", faces_folder, data__split="random"), log)
    assert log.facts["warning"].startswith("Optimistic: ")
    assert float(log.facts["test_faces_of_known_people"]) > 0.5


@pytest.mark.slow
def test_a_run_tells_how_many_faces_are_almost_black(
    world: Path, faces_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "dark"
    for path in faces_folder.glob("*/*.png"):
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            Image.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) << 4).save(target)
    log = RunLog()
    ended = train(tiny("baseline", folder), log)
    assert "faces are almost black: no pixel reaches 64 of 255" in ended.facts["almost-black"]
    assert log.facts["data.almost-black"] == ended.facts["almost-black"]


def test_the_python_of_the_docs_trains_and_predicts(world: Path, faces_folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    (code,) = re.findall(r"## Without MLflow\n\n```python\n(.*?)```", page, re.DOTALL)
    code = code.replace('"path/to/faces"', repr(str(faces_folder)))
    code = code.replace("epochs=5", f"settings={SETTINGS['cnn']!r}")
    shutil.copy(next(faces_folder.glob("*/*.png")), world / "face.jpg")
    exec(code, {})
    assert Classifier.load(world / "model").family == "cnn"
    assert find_version("champion") is None
