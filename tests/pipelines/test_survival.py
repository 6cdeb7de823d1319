"""A run is killed, its server goes away, its disk fills: its numbers are those of one left in peace."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow import MlflowClient
from PIL import Image, ImageOps
from tiny import SETTINGS, run, tiny, train
from tracking_server import Server

from fer_mlops.data.loading import prepare_data
from fer_mlops.errors import DataError, TrackingError, TrainingError
from fer_mlops.pipelines import run_checkpoint
from fer_mlops.pipelines.run_checkpoint import RunCheckpoint, read_checkpoint
from fer_mlops.tracking.registry import load_classifier
from fer_mlops.tracking.run_log import RunLog
from fer_mlops.training.checkpoints import checkpoint_path, claim, load_checkpoint, save_checkpoint
from fer_mlops.training.steps import Step

TIMES = {"train/seconds_per_epoch", "minutes"}
"""What two runs cannot have in common."""


def dying(world: Path, family: str, faces: Path, moments: list[list[object]]) -> tuple[str, int]:
    """Returns the run that a command ended with, and how many of its processes were killed before."""
    cache = world / "cache"
    shutil.rmtree(cache, ignore_errors=True)  # a backbone's features too
    settings = SETTINGS[family] | {
        "transfer.frozen_epochs": 4,
        "training.epochs": 4,
        "tracking.images_every": 2,
        "tracking.system_metrics": False,
    }
    own = {
        key: value for key, value in settings.items() if family == "transfer" or "transfer" not in key
    }
    words = [family, "--data", str(faces), *(w for k, v in own.items() for w in ("--set", f"{k}={v}"))]
    script = [sys.executable, str(Path(__file__).parents[1] / "dying.py"), json.dumps(moments)]
    env = {**os.environ, "FER_MLOPS_CACHE": str(cache)}
    done = subprocess.run([*script, *words], cwd=world, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((cache / "checkpoints").glob("*.pt")) == []
    run_id, num_killed = (
        re.search(r"^run (\w+)", done.stdout, re.M),
        re.search(r"killed (\d+)", done.stdout),
    )
    assert run_id
    assert num_killed
    return run_id[1], int(num_killed[1])


def histories(run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Returns every (step, value) of every metric that is no time."""
    client = MlflowClient()
    return {
        key: [(point.step, point.value) for point in client.get_metric_history(run_id, key)]
        for key in client.get_run(run_id).data.metrics
        if key not in TIMES and not key.startswith("system/")
    }


def pictures(run_id: str) -> Counter[str]:
    """Returns how often each key, step and format of picture is there."""
    items = MlflowClient().list_artifacts(run_id, "images")
    return Counter(re.sub(r"\+timestamp\+\d+\+[0-9a-f-]{36}", "", item.path) for item in items)


def assert_same(one: str, other: str) -> None:
    """Asserts that two runs have the same weights, metrics, pictures and facts, each once."""
    assert histories(one) == histories(other)
    for key in TIMES | {"valid/loss"}:
        points = [MlflowClient().get_metric_history(run_id, key) for run_id in (one, other)]
        steps = [[point.step for point in each] for each in points]
        assert steps[0] == steps[1]
        assert len(set(steps[1])) == len(steps[1])
    assert pictures(one) == pictures(other)
    assert set(pictures(other).values()) == {1}
    weights = [
        load_classifier(f"runs:/{run_id}").scorer.network.state_dict()  # type: ignore[union-attr]
        for run_id in (one, other)
    ]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name
    for run_id in (one, other):
        found = MlflowClient().get_run(run_id)
        assert found.info.status == "FINISHED"
        models = MlflowClient().search_logged_models(
            [found.info.experiment_id], f"source_run_id = '{run_id}'"
        )
        assert len(models) == 1
        assert len(MlflowClient().search_model_versions(f"run_id = '{run_id}'")) == 1


MOMENTS: dict[str, list[list[object]]] = {
    "transfer": [
        ["fer_mlops.training.transfer", "frozen_features", 2, "before"],
        # a frozen step, learned but not kept
        ["fer_mlops.pipelines.run_checkpoint", "save_checkpoint", 3, "before"],
        # a step that is kept, but not told
        ["fer_mlops.pipelines.run_checkpoint", "save_checkpoint", 1, "after"],
        ["fer_mlops.training.loop", "train_epoch", 4, "before"],  # the whole network
        ["mlflow", "MlflowClient.log_artifacts", 2, "before"],  # told in part
    ],
    "cnn": [
        ["torch", "save", 2, "after"],  # a checkpoint that is written but not in its place
        # of the first epoch
        ["fer_mlops.training.state", "TrainingState.step", random.randint(1, 2), "after"],
        ["fer_mlops.training.state", "TrainingState.step", random.randint(1, 4), "before"],
        ["fer_mlops.pipelines.train", "_evaluate_valid", 1, "after"],  # everything learned, told in part
        ["fer_mlops.pipelines.registration", "register", 1, "after"],  # everything but the end
    ],
}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", MOMENTS)
def test_a_run_that_is_killed_again_and_again_is_the_run_left_in_peace(
    family: str, world: Path, faces_folder: Path
) -> None:
    peaceful, _ = dying(world, family, faces_folder, [])
    killed, num_killed = dying(world, family, faces_folder, MOMENTS[family])
    assert num_killed == len(MOMENTS[family])
    assert killed != peaceful
    assert_same(peaceful, killed)


def stop_after(number: int, error: BaseException) -> object:
    def on_step(step: Step) -> None:
        if step.number == number:
            raise error

    return on_step


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(world: Path, faces_folder: Path) -> None:
    path = checkpoint_path(world, "some")
    with pytest.raises(KeyboardInterrupt, match=r"^resume with 'fer-mlops cnn --resume \w{32}'$"):
        run(tiny("cnn", faces_folder), checkpoint=path, on_step=stop_after(1, KeyboardInterrupt()))
    assert load_checkpoint(path)["step"] == 1
    (found,) = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert found.info.status == "KILLED"


def test_a_loss_that_is_no_number_fails_the_run_and_keeps_the_last_good_step(
    world: Path, faces_folder: Path
) -> None:
    path = checkpoint_path(world, "some")
    experiment = tiny("cnn", faces_folder, training__epochs=3)

    def burst(step: Step) -> None:
        for parameter in step.classifier.scorer.network.parameters():  # type: ignore[union-attr]
            parameter.data.fill_(float("nan"))

    with pytest.raises(
        TrainingError, match=r"^the training loss of epoch 2 is nan; lower training.lear"
    ):
        run(experiment, checkpoint=path, on_step=burst)
    (found,) = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert found.info.status == "FAILED"
    state = load_checkpoint(path)
    assert state["step"] == 1
    weights = state["learning"]["fit"]["network"].values()
    assert all(torch.isfinite(tensor).all() for tensor in weights if tensor.is_floating_point())


def test_a_run_does_not_go_on_with_faces_that_have_changed(faces_folder: Path, tmp_path: Path) -> None:
    folder, path = tmp_path / "faces", tmp_path / "run.pt"
    shutil.copytree(faces_folder, folder)
    experiment = tiny("baseline", folder)

    def go_on(state: dict[str, Any] | None) -> RunCheckpoint:
        data = prepare_data(experiment, tmp_path / "cache")
        return RunCheckpoint(path, experiment, data, RunLog(), state)

    with go_on(None).step(0):
        pass
    assert go_on(read_checkpoint(path)).is_resumed
    picture = next(folder.glob("*/*.png"))
    with Image.open(picture) as image:
        ImageOps.invert(image.convert("L")).save(picture)
    with pytest.raises(DataError, match="cannot resume: the faces or their split have changed"):
        go_on(read_checkpoint(path))


def test_a_step_that_cannot_be_kept_is_not_told(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = checkpoint_path(world, "some")

    def full(target: Path, state: dict[str, object]) -> None:
        if state["step"] == 2:
            raise TrainingError("the disk is full")
        save_checkpoint(target, state)

    monkeypatch.setattr(run_checkpoint, "save_checkpoint", full)
    with pytest.raises(TrainingError, match="the disk is full"):
        run(tiny("cnn", faces_folder), checkpoint=path)
    (found,) = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert found.info.status == "FAILED"
    assert histories(found.info.run_id)["valid/loss"][0][0] == 1
    assert len(histories(found.info.run_id)["valid/loss"]) == 1
    assert load_checkpoint(path)["step"] == 1


def test_a_full_artifact_store_is_one_sentence(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MlflowClient, "log_artifacts", full)
    with pytest.raises(TrackingError, match=r"cannot store the data: .*No space left on device"):
        run(tiny("baseline", faces_folder))


def test_a_run_is_trained_by_one_process_at_a_time(world: Path, faces_folder: Path) -> None:
    path = checkpoint_path(world, "some")

    def second(_: Step) -> None:
        with claim(path):
            pass

    with pytest.raises(TrainingError, match="run some is being trained by another process"):
        train(tiny("cnn", faces_folder), checkpoint=path, on_step=second)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_server_that_goes_away_in_mid_run_is_told_everything_once(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(world)
    steps: list[int] = []

    def on_step(step: Step) -> None:
        steps.append(step.number)
        if step.number == 2:
            server.stop()
        if step.number == 5:
            server.start()  # comes up while the run goes on, and waits for it at its end

    server.start()
    try:
        server.wait()
        mlflow.set_tracking_uri(server.uri)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        trained = run(tiny("cnn", faces_folder, training__epochs=6), on_step=on_step)
        assert steps == [1, 2, 3, 4, 5, 6]
        points = histories(trained.run_id)
        for key in ("train/loss", "valid/loss", "valid/macro_f1"):
            assert [step for step, _ in points[key]] == steps
        assert all(len(values) == 1 for key, values in points.items() if key.startswith("test"))
        found = pictures(trained.run_id)
        assert set(found.values()) == {1}
        for step in steps:
            assert f"images/gradcam~anger+step+{step}.png" in found
        assert MlflowClient().get_run(trained.run_id).info.status == "FINISHED"
    finally:
        server.stop()
    told = [r.getMessage() for r in caplog.records if r.name == "fer_mlops.tracking.outbox"]
    assert len([text for text in told if "does not respond" in text]) == 1
    assert len([text for text in told if "responds again" in text]) == 1


@pytest.mark.long
def test_a_server_that_stays_away_ends_the_run_with_the_way_to_go_on(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fer_mlops.tracking import connection, outbox

    def gone(*_: object, **__: object) -> None:
        raise mlflow.exceptions.MlflowException(
            "API request to http://far failed with exception refused"
        )

    path = checkpoint_path(world, "some")
    experiment = tiny("cnn", faces_folder, tracking__wait_minutes=0)
    whole = run(experiment)

    def on_step(step: Step) -> None:
        if step.number == 1:
            patch.setattr(connection, "is_remote", lambda: True)
            patch.setattr(MlflowClient, "log_batch", gone)
            patch.setattr(outbox, "check_server", gone_away)

    def gone_away(_: float) -> None:
        raise TrackingError("no tracking server answers")

    with pytest.MonkeyPatch.context() as patch:
        pattern = r"has not responded for 0 minutes .*; resume with 'fer-mlops cnn --resume \w+'$"
        with pytest.raises(TrackingError, match=pattern):
            run(experiment, checkpoint=path, on_step=on_step)
    state = load_checkpoint(path)
    assert state["step"] == 2
    assert state["tracker"]["entries"]
    stopped = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")[0]
    resumed = run(experiment, checkpoint=path, resume_from=state, run_id=stopped.info.run_id)
    assert resumed.run_id == stopped.info.run_id
    assert histories(resumed.run_id) == histories(whole.run_id)
    assert pictures(resumed.run_id) == pictures(whole.run_id)
