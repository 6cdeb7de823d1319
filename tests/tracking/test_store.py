"""A store that cannot be used is one sentence, before anything is read; one that can be is found."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from fer_mlops.errors import TrackingError
from fer_mlops.tracking.database import check_database, relocate
from fer_mlops.tracking.runs import track
from fer_mlops.tracking.store import check_store, ensure_experiment


def said_of_the_store(experiment: str | None = None) -> str:
    """Returns the one sentence that says why the store cannot be used."""
    with pytest.raises(TrackingError) as caught:
        check_store(experiment)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def set_revision(folder: Path, revision: str) -> None:
    with sqlite3.connect(folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = ?", (revision,))
    database.close()


def test_a_store_in_order_is_used_and_its_experiment_is_there(world: Path) -> None:
    check_store()
    check_store("mine")
    assert MlflowClient().get_experiment_by_name("mine")


def test_a_missing_database_is_not_made_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    file = tmp_path / "mlflow.db"
    assert said_of_the_store().startswith(f"there are no runs or models here: '{file}' does not exist;")
    assert not list(tmp_path.iterdir())


def test_a_database_of_an_older_mlflow_is_told_with_the_command_for_it(world: Path) -> None:
    set_revision(world, "acf3f17fdcc7")
    file = world / "mlflow.db"
    assert said_of_the_store() == (
        f"'{file}' was made by an older version of MLflow; "
        f"'cp {file} {file}.bak && mlflow db upgrade sqlite:///{file}' updates it to this version"
    )


def test_a_database_without_the_newest_tables_is_not_migrated_without_a_word(world: Path) -> None:
    set_revision(world, "acf3f17fdcc7")
    with sqlite3.connect(world / "mlflow.db") as database:
        database.execute("drop table webhooks")
    database.close()
    assert "was made by an older version of MLflow" in said_of_the_store("mine")


def test_a_database_of_a_later_mlflow_is_told(world: Path) -> None:
    set_revision(world, "ffffffffffff")
    assert "was made by a later version of MLflow than" in said_of_the_store()


@pytest.mark.parametrize("content", [b"no database at all, but a text of some length" * 20])
def test_a_file_that_is_no_database_is_told(content: bytes, world: Path) -> None:
    (world / "mlflow.db").write_bytes(content)
    assert "file is not a database; put a backup in its place" in said_of_the_store()


def test_a_damaged_database_is_told(world: Path) -> None:
    content = (world / "mlflow.db").read_bytes()
    (world / "mlflow.db").write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert "malformed" in said_of_the_store()


def test_a_folder_in_the_databases_place_is_told(world: Path) -> None:
    (world / "mlflow.db").unlink()
    (world / "mlflow.db").mkdir()
    assert "unable to open database file" in said_of_the_store()


def test_another_programs_database_is_told_and_left_alone(world: Path, empty_study: Path) -> None:
    shutil.copy(empty_study, world / "mlflow.db")
    before = (world / "mlflow.db").read_bytes()
    assert "holds other tables than MLflow's" in said_of_the_store()
    assert (world / "mlflow.db").read_bytes() == before


def test_a_database_that_another_process_holds_is_told(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.tracking.database._PATIENCE", 0.1)
    holder = sqlite3.connect(world / "mlflow.db")
    holder.execute("begin immediate")
    check_store()  # to read it is allowed
    assert "database is locked; another process has locked it" in said_of_the_store("mine")
    holder.rollback()
    holder.execute("begin exclusive")
    assert "database is locked" in said_of_the_store()
    holder.close()


def test_a_database_server_that_does_not_answer_is_told_without_its_password(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("psycopg")
    mlflow.set_tracking_uri("postgresql://anna:sec/ret@127.0.0.1:9/runs".replace("/ret", "%2Fret"))
    said = said_of_the_store("mine")
    assert "postgresql://127.0.0.1:9/runs" in said
    assert "sec" not in said.replace("seconds", "")


def test_a_folder_that_cannot_be_written_is_told_at_once(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (world / "mlflow.db").unlink()
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert said_of_the_store("mine") == (
        f"cannot write mlflow.db in '{world}': Read-only file system; change to another folder or set "
        "MLFLOW_TRACKING_URI"
    )


@pytest.mark.parametrize("uri", ["./mlruns", "mlruns", "file:./mlruns", None])
def test_a_store_of_files_is_refused_with_the_way_to_a_database(
    uri: str | None, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world / "mlruns" / "0").mkdir(parents=True)
    (world / "mlruns" / "0" / "meta.yaml").write_text("name: Default\n")  # as older versions leave it
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    said = said_of_the_store("mine")
    assert f"'export MLFLOW_TRACKING_URI=sqlite:///{world / 'mlflow.db'}'" in said
    assert f"--source {world / 'mlruns'} --target sqlite:///{world / 'mlflow.db'}'" in said


def test_a_deleted_experiment_is_told_with_the_command_for_it(world: Path) -> None:
    number = ensure_experiment("mine").experiment_id
    MlflowClient().delete_experiment(number)
    said = said_of_the_store("mine")
    assert f"'mlflow experiments restore --experiment-id {number}'" in said


def test_a_place_for_artifacts_that_is_gone_is_not_made_again(world: Path) -> None:
    with track("mine", "some") as tracker:
        tracker.log_text("file.txt", "x")
    shutil.rmtree(world / "mlruns")
    assert f"in '{world / 'mlruns' / 'mine'}', which is missing" in said_of_the_store("mine")
    assert not (world / "mlruns").exists()


@pytest.fixture
def moved(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """A run, a model and the folder that both were moved to."""
    with track("mine", "some") as tracker:
        tracker.log_text("deep/file.txt", "told")
        client = MlflowClient()
        model = client.create_logged_model(tracker.experiment_id, "m", tracker.run_id)
        (world / "weights").write_text("w")
        client.log_model_artifact(model.model_id, str(world / "weights"))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.create_registered_model("m")
        client.create_model_version("m", model.artifact_location, model_id=model.model_id)
    new = tmp_path_factory.mktemp("moved it's here") / "new"
    new.mkdir()
    for name in ("mlflow.db", "mlruns"):
        shutil.move(world / name, new / name)
    mlflow.set_tracking_uri(f"sqlite:///{new}/mlflow.db")
    os.chdir(new)
    return tracker.run_id, model.model_id, new


def test_a_moved_folder_is_told_and_no_folder_is_made_again(
    moved: tuple[str, str, Path], world: Path
) -> None:
    said = said_of_the_store("mine")
    assert "was moved or copied" in said
    assert str(world / "mlruns" / "mine") in said
    assert "'fer-mlops registry relocate'" in said
    assert said == said_of_the_store()
    assert not (world / "mlruns").exists()


def test_a_moved_folder_is_relocated_with_its_runs_models_and_versions(
    moved: tuple[str, str, Path], world: Path
) -> None:
    run_id, model_id, new = moved
    assert relocate() == [(world / "mlruns" / "mine", new / "mlruns" / "mine")]
    check_store("mine")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/deep/file.txt") == "told"
    folder = mlflow.artifacts.download_artifacts(f"models:/{model_id}")
    assert Path(folder, "weights").read_text() == "w"
    version = MlflowClient().get_model_version("m", "1")
    assert str(world) not in str(version)
    with track("mine", "again") as tracker:
        tracker.log_text("file.txt", "x")
    assert not (world / "mlruns").exists()
    assert relocate() == []


def test_a_copied_folder_does_not_write_to_the_one_it_was_copied_from(
    moved: tuple[str, str, Path], world: Path
) -> None:
    shutil.copytree(moved[2] / "mlruns", world / "mlruns")
    assert "was moved or copied" in said_of_the_store("mine")


def test_a_database_that_serves_another_folder_is_no_moved_one(
    world: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with track("mine", "some") as tracker:
        tracker.log_text("file.txt", "x")
    check_store("mine")


def test_of_two_that_make_an_experiment_at_once_both_have_it(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    create = MlflowClient.create_experiment

    def at_once(self: MlflowClient, *args: object) -> str:
        both.wait(10)
        return create(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "create_experiment", at_once)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(ensure_experiment, ["mine", "mine"]))
    assert found[0].experiment_id == found[1].experiment_id


_FIRST_RUN = """
import time
from pathlib import Path
from fer_mlops.tracking.store import check_store
while not Path("go").exists():
    time.sleep(0.01)
check_store("fer_mlops")
"""


@pytest.mark.slow
def test_processes_that_begin_at_once_in_a_fresh_folder_all_have_a_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    pipes = {"stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", _FIRST_RUN]
    begun = [subprocess.Popen(command, cwd=tmp_path, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    (tmp_path / "go").touch()
    for process in begun:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_experiment_by_name("fer_mlops")


def test_a_database_is_made_again_where_another_process_was_in_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    tries = []

    def fail_once(self: MlflowClient, **_: object) -> None:
        tries.append(1)
        if len(tries) == 1:
            shutil.copy(empty_store, tmp_path / "mlflow.db")
            raise mlflow.MlflowException("duplicate column name: step")

    monkeypatch.setattr(MlflowClient, "search_experiments", fail_once)
    check_database(f"sqlite:///{tmp_path}/mlflow.db", is_written=True)
    assert len(tries) == 2
