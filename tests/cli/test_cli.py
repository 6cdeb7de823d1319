"""The command line: what users type, and the one sentence they get when it is wrong."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import click
import mlflow
import pytest
from commands import fer
from mlflow.exceptions import MlflowException
from PIL import Image
from sqlalchemy.exc import OperationalError
from tiny import run, tiny

from fer_mlops.cli import main
from fer_mlops.cli.data import training_command
from fer_mlops.tracking.alias_lock import find_version


def make_broken_worlds(folder: Path) -> None:
    """Makes one wrong data set of each kind below ``folder``."""

    def face(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (20, 20), hash(path.name) % 255).save(path)

    (folder / "empty").mkdir()
    (folder / "no-image" / "happiness").mkdir(parents=True)
    face(folder / "wrong-name" / "hapiness" / "a.png")
    for emotion, count in (("happiness", 12), ("sadness", 12), ("anger", 1)):
        for number in range(count):
            face(folder / "one-anger" / emotion / f"p{number}x.png")
    for emotion in ("happiness", "sadness"):
        for number in range(12):
            face(folder / "unreadable" / emotion / f"p{number}x.png")
            face(folder / "one-person" / emotion / "anna" / f"{number}.png")
    (folder / "unreadable" / "sadness" / "p3x.png").write_bytes(b"no image")
    face(folder / "just-one" / "happiness" / "a.png")
    (folder / "columns.csv").write_text("file,label\na.png,happy\n")
    (folder / "emotion.csv").write_text("image,emotion\nno-image.png,rage\n")
    (folder / "list.yaml").write_text("- just\n- a list\n")
    (folder / "other.yaml").write_text("family: transfer\n")


BAD = [
    # words, exit status, what the one sentence holds
    (["cnn", "--banana"], 2, "No such option"),
    (["banana"], 2, "No such command"),
    (["cnn", "--epochs", "many"], 2, "neither a number nor 'auto'"),
    (["cnn", "--epochs", "0"], 2, "training.epochs must be 1 or more, got 0"),
    (["cnn", "--split", "person"], 2, "data.split must be one of"),
    (["cnn", "--set", "training.epochz=3"], 2, "did you mean training.epochs?"),
    (["cnn", "--set", "training.loss=huge"], 2, "training.loss must be one of"),
    (["cnn", "--set", "epochs"], 2, "--set needs key=value"),
    (["cnn", "--set", "transfer.backbone=resnet18"], 2, "unknown setting transfer"),
    (["cnn", "--preset", "huge"], 2, "cnn has no preset 'huge'; it has: best, course, fast"),
    (["cnn", "--recipe", "nowhere.yaml"], 2, "no recipe 'nowhere.yaml'"),
    (["cnn", "--recipe", "list.yaml"], 2, "must be a mapping"),
    (["cnn", "--recipe", "other.yaml"], 2, "is for 'transfer', not 'cnn'"),
    (["cnn", "--recipe", "other.yaml", "--preset", "course"], 2, "give one"),
    (["cnn", "--set", "training.device=toaster"], 2, "training.device 'toaster' cannot be used here"),
    (["transfer", "--backbone", "vgg"], 2, "transfer.backbone 'vgg' is unknown; did you mean vgg"),
    (["transfer", "--weights", "nowhere.pth"], 2, "transfer.weights: no file 'nowhere.pth'"),
    (["baseline", "--data", "nowhere"], 1, "no data set or path 'nowhere'"),
    (["baseline", "--data", "muxspace"], 1, "needs a path"),
    (["baseline", "--data", "empty"], 1, "holds no image in a folder named after an emotion"),
    (["baseline", "--data", "no-image"], 1, "holds no image"),
    (["baseline", "--data", "wrong-name"], 1, "unknown emotion 'hapiness'; did you mean 'happiness'?"),
    (["baseline", "--data", "one-anger"], 1, "anger has 1 face; each emotion needs at least 3"),
    (["baseline", "--data", "just-one"], 1, "all faces show one emotion"),
    (["baseline", "--data", "one-person"], 1, "use --split random"),
    (["baseline", "--data", "unreadable"], 1, "p3x.png' cannot be read as an image"),
    (["baseline", "--data", "columns.csv"], 1, "needs columns image, emotion"),
    (["baseline", "--data", "emotion.csv"], 1, "line 2: no image at"),
    (["cnn", "--resume", "0123456789abcdef0123456789abcdef"], 1, "no checkpoint at"),
    (["tune", "svm"], 2, "'svm' is not one of"),
    (["tune", "cnn", "--trials", "0"], 2, "tuning.trials must be 1 or more, got 0"),
    (["evaluate"], 1, "no model 'models:/fer-classifier@champion'"),
    (["evaluate", "--model", "empty"], 1, "has no classifier.json"),
    (["explain", "nowhere.png"], 1, "no image or folder at 'nowhere.png'"),
    (["explain", "empty"], 1, "no image below empty"),
    (["compare"], 2, "at least two different models, got 0"),
    (["compare", "--runs", "a,b"], 1, "no run 'a'"),
    (["compare", "--runs", "a"], 1, "no run 'a'"),
    (["compare", "--models", "empty"], 2, "at least two different models, got 1"),
    (["compare", "--models", "nowhere,empty"], 1, "no model 'nowhere'"),
    (["compare", "--models", "models:/none/1,models:/none/2"], 1, "no model 'models:/none/1'"),
    (["compare", "--runs", "a", "--parent", "b"], 2, "--runs and --parent cannot be combined; give one"),
    (["compare", "--parent", "a"], 1, "no run 'a'"),
    (["compare", "--relabel", "a.csv"], 2, "--relabel needs --data"),
    (["compare", "--out", "other.yaml"], 1, "cannot write to 'other.yaml'"),
    (["baseline", "--seeds", "1"], 2, "--seeds must be 2 or more, for a spread, got 1"),
    (["baseline", "--seeds", "2", "--folds", "3"], 2, "both repeat the training; give one"),
    (["cnn", "--seeds", "2", "--resume", "a"], 2, "--seeds starts several; give one"),
    (["data", "check", "nowhere"], 1, "no data set or path 'nowhere'"),
    (
        ["run", "bananas", "--env-manager", "local"],
        2,
        "no entry point 'bananas' in MLproject; there are:",
    ),
    (["run", "tuned"], 2, "no entry point 'tuned' in MLproject; did you mean tune?"),
    (["run", "cnn", "-P", "epochs"], 2, "-P needs NAME=VALUE"),
]


@pytest.mark.parametrize(
    ("words", "status", "sentence"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_bad_input_ends_in_one_sentence_and_leaves_no_model(
    words: list[str], status: int, sentence: str, world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_broken_worlds(world)
    code, _, err = fer(capfd, *words)
    assert (code, "Traceback" in err) == (status, False), err
    assert sentence in err
    assert find_version("champion") is None
    for found in mlflow.search_runs(search_all_experiments=True, output_format="list"):
        assert found.info.status != "RUNNING"


def test_an_unreachable_server_is_one_sentence(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    code, _, err = fer(capfd, "baseline")
    assert code == 1
    assert err.splitlines()[-1].startswith("fer-mlops: no tracking server answers at http://127.0.0.1:9")


def test_a_recipe_is_read_before_options_and_options_win(world: Path) -> None:
    from fer_mlops.cli.options import build

    (world / "mine.yaml").write_text("family: cnn\nseed: 4\ntraining: {epochs: 9, batch_size: 8}\n")
    options = {
        "recipe": "mine.yaml",
        "epochs": 3,
        "seed": None,
        "assignments": ("training.ema_decay=0.5",),
    }
    built = build("cnn", options)
    assert built.seed == 4
    assert built.training.epochs == 3  # type: ignore[union-attr]
    assert built.training.batch_size == 8  # type: ignore[union-attr]
    assert built.training.ema_decay == 0.5  # type: ignore[union-attr]


def test_data_check_says_what_is_wrong_with_status_1_on_errors(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = fer(capfd, "data", "check", str(faces_folder))
    assert code == 0
    assert "140 faces" in out
    assert "a random split has" in out
    assert f"Next:     fer-mlops baseline --data {faces_folder}" in out  # few faces
    make_broken_worlds(world)
    code, out, _ = fer(capfd, "data", "check", "unreadable")
    assert code == 1
    assert "1 image cannot be read" in " ".join(out.split())


def test_train_evaluate_explain_and_compare_by_hand(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quick = ["--set", "tracking.system_metrics=false"]
    small = ["--set", "hog_svm.components=20", "--set", "hog_svm.fractions=[1.0]", *quick]
    code, out, err = fer(capfd, "baseline", "--data", str(faces_folder), *small)
    assert code == 0, err
    assert "registered fer-classifier version 1 (champion)" in out
    assert "workflowType=machine_learning" in out
    assert 'mlflow.pyfunc.load_model("models:/fer-classifier@champion")' in out
    code, out, err = fer(capfd, "baseline", "--data", str(faces_folder), "--seed", "0", *small)
    assert code == 0, err
    code, out, err = fer(capfd, "evaluate")
    assert code == 0, err
    assert f"test part of {faces_folder.name}, identity split: 28 faces" in " ".join(out.split())
    assert "corrupted" not in out
    face = next(faces_folder.glob("happiness/*.png"))
    code, out, err = fer(capfd, "explain", str(face), "--out", "looked")
    assert code == 0, err
    (picture,) = (world / "looked").glob("*.png")
    with Image.open(picture) as opened:
        assert opened.size == (192, 192)
    found = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    ids = [each.info.run_id for each in found if (each.info.run_name or "").startswith("baseline ")]
    code, out, err = fer(capfd, "compare", "--runs", ",".join(ids), "--out", "compared")
    assert code == 0, err
    assert f"test part of {faces_folder.name}, identity split: 28 faces" in out
    assert "No difference: " in " ".join(out.split())
    assert "Warning" not in out
    assert {file.name for file in (world / "compared").iterdir()} == {
        "comparison.html",
        "comparison.json",
    }


@pytest.mark.parametrize(
    ("source", "num_faces", "words"),
    [
        ("sample", 980, "cnn --preset fast"),
        ("faces", 499, "baseline"),
        ("faces", 500, "transfer --preset best"),
    ],
)
def test_the_check_leads_to_the_training_that_suits_the_faces(
    source: str, num_faces: int, words: str
) -> None:
    assert training_command(source, num_faces) == words


def test_other_data_is_evaluated_whole(
    world: Path,
    faces_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from fer_mlops.data.datasets.sample import draw_sample

    run(tiny("baseline", faces_folder))
    other = tmp_path_factory.mktemp("other")
    draw_sample(other, num_identities=3, variants=1, seed=9)
    code, out, err = fer(capfd, "evaluate", "--data", str(other), "--robustness")
    assert code == 0, err
    assert "corrupted images: balanced accuracy" in out
    assert f"all of {other.name}: 21 faces" in " ".join(out.split())
    assert f"Next:     fer-mlops explain {other}/" in out  # a face of the evaluated ones
    assert "as frequent as in training (natural)" in out


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_an_epoch_ends_the_run_as_killed(
    kind: signal.Signals, world: Path, faces_folder: Path
) -> None:
    words = [sys.executable, "-m", "fer_mlops", "cnn", "--data", str(faces_folder), "--epochs", "5000"]
    words += ["--set", "training.patience=5000", "--set", "tracking.images_every=0"]
    process = subprocess.Popen(
        words, cwd=world, env=os.environ.copy(), stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = mlflow.search_runs(search_all_experiments=True, output_format="list")
            if found and "train/loss" in found[0].data.metrics:
                break
            time.sleep(0.5)
        process.send_signal(kind)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopped" in err
    (run_found,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run_found.info.status == "KILLED"
    assert find_version("champion") is None


def test_all_trains_three_families_and_compares_them_under_one_parent(
    world: Path, faces_folder: Path
) -> None:
    from fer_mlops.files import cache_folder
    from fer_mlops.pipelines.train_all import train_all

    suite = train_all([tiny(f, faces_folder) for f in ("baseline", "cnn", "transfer")], cache_folder())
    assert {entry.family for entry in suite.comparison.entries} == {"baseline", "cnn", "transfer"}
    assert suite.comparison.warnings == ()
    for trained in suite.trained:
        assert trained.test
        entry = next(e for e in suite.comparison.entries if e.family == trained.family)
        assert entry.scores["macro_f1"] == trained.test.macro_f1
    for trained in suite.trained:
        tags = mlflow.get_run(trained.run_id).data.tags
        assert tags["mlflow.parentRunId"] == suite.run_id
    files = {item.path for item in mlflow.MlflowClient().list_artifacts(suite.run_id)}
    assert {"comparison.png", "comparison.json", "comparison.html"} <= files
    parent = mlflow.get_run(suite.run_id).data
    assert {"which", "by_how_much", "how_sure", "at_what_cost"} <= parent.tags.keys()
    best = suite.comparison.best
    assert parent.metrics[f"compare/{best.family}/macro_f1"] == best.scores["macro_f1"].value
    assert not [name for name in parent.metrics if name.endswith("/p_macro_f1")]  # of so few people


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MlflowException("Run 'x' not found\nand more"), "MLflow at .* refused: Run 'x' not found$"),
        (
            OperationalError("select", {}, sqlite3.OperationalError("database or disk is full")),
            r"MLflow at .*: \(sqlite3.OperationalError\) database or disk is full$",
        ),
        (OSError(28, os.strerror(28), "/data/x"), "No space left on device: '/data/x'; free space$"),
    ],
)
@pytest.mark.parametrize("words", [("registry", "list"), ("rollback",), ("promote",), ("data", "list")])
def test_what_the_store_or_the_disk_says_is_one_sentence_of_every_command(
    words: tuple[str, ...],
    error: Exception,
    said: str,
    world: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(click.Command, "invoke", fail)
    status, _, err = fer(capfd, *words)
    assert status == 1
    assert re.match(f"^fer-mlops: {said}", err.rstrip("\n"))
    assert err.count("\n") == 1


def test_an_error_of_our_own_is_not_hidden(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(click.Command, "invoke", fail)
    monkeypatch.setattr(sys, "argv", ["fer-mlops", "data", "list"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(ValueError, match="a mistake of ours"):
        main.main()


_OUT = """
import sys
import click
from fer_mlops.cli import main, predict
@main.cli.command(name="echo")
def echo():
    click.echo("фото"); click.echo("фото", err=True)
sys.argv = ["fer-mlops", "echo"]
main.main()
"""


def test_letters_that_an_encoding_lacks_end_no_command(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run([sys.executable, "-c", _OUT], env=env, capture_output=True)
    escaped = "фото".encode("ascii", "backslashreplace")
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, escaped, escaped)


@pytest.mark.parametrize("model", ["models:/fer-classifier@champion", "runs:/" + "0" * 32, "nowhere"])
def test_a_model_that_is_not_there_leaves_no_run(
    model: str, world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = fer(capfd, "evaluate", "--model", model, "--data", "sample")
    assert status == 1
    assert err.startswith(f"fer-mlops: no model '{model}'")
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []


def test_a_folder_that_cannot_be_written_is_told_before_a_model_is_evaluated(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (world / "file").touch()
    status, _, err = fer(capfd, "evaluate", "--out", "file")
    assert (status, err) == (1, "fer-mlops: cannot write to 'file': File exists\n")


def test_the_ui_is_silent_about_the_server_that_mlflow_builds_on(
    world: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{world}/mlflow.db")
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    monkeypatch.setattr(os, "execv", lambda *_: None)
    assert fer(capfd, "ui", "--port", "5987")[0] == 0
    code = "import starlette.middleware.wsgi, warnings; warnings.warn('another')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("Warning") == 1
    assert "another" in done.stderr


def test_the_ui_on_a_port_in_use_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        status, out, err = fer(capfd, "ui", "--port", port)
    assert (status, out) == (2, "")
    assert err == f"fer-mlops: port {port} is in use; choose another one with --port\n"
