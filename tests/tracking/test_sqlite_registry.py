"""Registered versions read without MLflow: the same as MLflow's, or left to MLflow."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import pytest
from alembic.script import ScriptDirectory
from mlflow import MlflowClient
from services import publish, untrained

from fer_mlops import REGISTERED_NAME
from fer_mlops.tracking.registry import downloaded_model
from fer_mlops.tracking.sqlite_registry import SCHEMA, folder_of, read_versions, stored_version
from fer_mlops.tracking.version_list import list_versions

CHAMPION = "models:/fer-classifier@champion"


@contextmanager
def no_mlflow() -> Iterator[None]:
    """Lets this process look as if it had not imported MLflow."""
    loaded = sys.modules.pop("mlflow")
    try:
        yield
    finally:
        sys.modules["mlflow"] = loaded


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A folder with five versions that differ in what versions can; the fourth is deleted."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(empty_store, folder / "mlflow.db")
    untrained().save(folder / "good")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = MlflowClient()
    for aliases in (["previous"], ["champion", "blue"], ["challenger"], [], []):
        publish(folder / "good", *aliases)
    client.set_model_version_tag(REGISTERED_NAME, "2", "test_macro_f1", "0.5")
    client.set_model_version_tag(REGISTERED_NAME, "2", "data", "it's 'sample'; –")
    client.set_model_version_tag(REGISTERED_NAME, "3", "decision", "")
    client.update_model_version(REGISTERED_NAME, "2", description="# A card\n")
    client.delete_model_version(REGISTERED_NAME, "4")
    client.create_registered_model("other")
    client.create_model_version("other", "nowhere", tags={"data": "sample"})
    client.set_registered_model_alias("other", "champion", "1")
    mlflow.set_tracking_uri(None)
    return folder


@pytest.fixture
def versions(registry: Path, world: Path) -> Path:
    """A copy of that registry in the test's own folder; its files stay where they are."""
    shutil.copy(registry / "mlflow.db", world / "mlflow.db")
    return world


def test_the_tables_are_those_of_the_installed_mlflow() -> None:
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == SCHEMA, (
        "compare the tables with the queries of sqlite_registry, then change SCHEMA"
    )


def test_the_versions_are_those_of_mlflow(versions: Path) -> None:
    theirs = list_versions()
    with no_mlflow():
        assert read_versions(REGISTERED_NAME) is not None
        assert list_versions() == theirs
    assert [version.number for version in theirs] == [5, 3, 2, 1]


@pytest.mark.parametrize(
    "name", [CHAMPION, "models:/fer-classifier@blue", "models:/fer-classifier/3", "models:/other/1"]
)
def test_a_name_means_the_version_that_it_means_to_mlflow(name: str, versions: Path) -> None:
    model, alias = name.removeprefix("models:/").replace("@", "/").split("/")
    is_number = alias.isdigit()
    ask = MlflowClient().get_model_version if is_number else MlflowClient().get_model_version_by_alias
    theirs = ask(model, alias)
    with no_mlflow():
        found = stored_version(name)
    assert found is not None
    assert (found.version, found.run_id or "") == (int(theirs.version), theirs.run_id or "")
    assert (found.tags, found.status, found.location) == (theirs.tags, theirs.status, theirs.source)


def test_the_folder_has_the_files_that_mlflow_downloads(versions: Path) -> None:
    with downloaded_model(CHAMPION) as folder:
        theirs = {path.name: path.read_bytes() for path in folder.iterdir()}
    with no_mlflow():
        found = folder_of(CHAMPION)
    assert found is not None
    assert {path.name: path.read_bytes() for path in found.iterdir()} == theirs


OTHER_NAMES = (
    "models:/fer-classifier/4",
    "models:/fer-classifier/02",
    "models:/fer-classifier/latest",
    "models:/fer-classifier@nobody",
    "models:/unknown@champion",
    "models:/m-0123",
    "runs:/0123",
    "folder",
)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_name_is_left_to_mlflow(name: str, versions: Path) -> None:
    with no_mlflow():
        assert stored_version(name) is None
        assert folder_of(name) is None


def changed(statement: str) -> Callable[[Path], None]:
    def change(world: Path) -> None:
        with closing(sqlite3.connect(world / "mlflow.db")) as connection:
            connection.execute(statement)
            connection.commit()

    return change


def variable(name: str, value: str) -> Callable[[Path], None]:
    return lambda _: os.environ.__setitem__(name, value)


def moved(world: Path) -> None:
    (world / "mlruns" / "0").mkdir(parents=True)
    changed("UPDATE experiments SET artifact_location = 'file:///gone/mlruns/0'")(world)


def with_old_runs(world: Path) -> None:
    (world / "mlruns" / "0").mkdir(parents=True)
    (world / "mlruns" / "0" / "meta.yaml").touch()
    del os.environ["MLFLOW_TRACKING_URI"]


STORES: dict[str, Callable[[Path], None]] = {
    "tables of another MLflow": changed("UPDATE alembic_version SET version_num = 'later'"),
    "another workspace": changed("UPDATE model_versions SET workspace = 'team' WHERE version = 1"),
    "no table": changed("DROP TABLE model_version_tags"),
    "moved": moved,
    "no database": lambda world: (world / "mlflow.db").write_bytes(b"no database"),
    "no file": lambda world: (world / "mlflow.db").unlink(),
    "a server": variable("MLFLOW_TRACKING_URI", "http://127.0.0.1:9"),
    "a database server": variable("MLFLOW_TRACKING_URI", "postgresql://127.0.0.1:9/mlflow"),
    "a memory": variable("MLFLOW_TRACKING_URI", "sqlite:///:memory:"),
    "an option": variable("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=1"),
    "another registry": variable("MLFLOW_REGISTRY_URI", "http://127.0.0.1:9"),
    "workspaces": variable("MLFLOW_ENABLE_WORKSPACES", "true"),
    "runs in files": with_old_runs,
}


@pytest.mark.parametrize("kind", STORES)
def test_another_store_is_left_to_mlflow(
    kind: str, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_ENABLE_WORKSPACES"):
        monkeypatch.setenv(name, os.environ.get(name, ""))  # restored afterwards
    with no_mlflow():
        assert stored_version(CHAMPION)
        STORES[kind](versions)
        assert read_versions(REGISTERED_NAME) is None
        assert stored_version(CHAMPION) is None


def test_a_process_that_has_loaded_mlflow_asks_it(versions: Path) -> None:
    assert read_versions(REGISTERED_NAME) is None


def test_without_a_setting_the_file_in_this_folder_is_read(
    versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with no_mlflow():
        assert stored_version(CHAMPION)


def test_a_locked_database_is_left_to_mlflow(versions: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_mlops.tracking.sqlite_registry._PATIENCE", 0.1)
    with closing(sqlite3.connect(versions / "mlflow.db")) as connection, no_mlflow():
        connection.execute("BEGIN EXCLUSIVE")
        assert read_versions(REGISTERED_NAME) is None
        connection.rollback()
        assert read_versions(REGISTERED_NAME)


def test_a_folder_with_a_link_or_an_unfinished_version_is_left_to_mlflow(
    versions: Path, registry: Path
) -> None:
    with no_mlflow():
        assert folder_of(CHAMPION) == registry / "good"
        (registry / "good" / "link").symlink_to(versions / "mlflow.db")
        assert folder_of(CHAMPION) is None
        (registry / "good" / "link").unlink()
        changed("UPDATE model_versions SET status = 'PENDING_REGISTRATION'")(versions)
        assert folder_of(CHAMPION) is None
