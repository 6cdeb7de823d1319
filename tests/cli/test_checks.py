"""``fer-mlops checks``: one line each, nothing changed, and what to do."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import torch
from commands import fer
from tracking_server import Server

from fer_mlops.pipelines import checks
from fer_mlops.pipelines.checks import CHECKS, SystemCheck, run_checks
from fer_mlops.tracking.store_probe import try_store

WITH_TORCH = ["torch", "weights", "cpu", "gpu"]


def found_in(folder: Path, *names: str) -> dict[str, SystemCheck]:
    """Returns the checks of these names, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "CHECKS", {name: CHECKS[name] for name in names})
        return {check.name: check for check in run_checks(folder / "cache")}


def content(folder: Path) -> dict[str, object]:
    """Returns every file and folder, and every row of a database."""
    found: dict[str, object] = {str(path): None for path in folder.rglob("*") if path.suffix != ".log"}
    for file in folder.rglob("*.db"):
        with sqlite3.connect(file) as connection:
            found[str(file)] = list(connection.iterdump())
    return found


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder without a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FER_MLOPS_CACHE", str(tmp_path / "cache"))
    mlflow.set_tracking_uri(None)
    yield tmp_path
    mlflow.set_tracking_uri(None)


def test_a_folder_without_a_store_stays_empty(empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = fer(capfd, "checks")
    assert (status, err) == (0, "")
    assert f"no store yet: the first training run makes {empty / 'mlflow.db'}" in out
    lines = out.splitlines()
    assert [line[9:23].strip() for line in lines[:-1]] == list(CHECKS)
    assert {line.split()[0] for line in lines[:-1]} <= {"ok", "warning"}
    assert lines[-1] == "Next:     fer-mlops data check path/to/faces"
    assert list(empty.iterdir()) == []


def test_an_empty_database_is_no_store_yet(empty: Path) -> None:
    (empty / "mlflow.db").touch()
    assert found_in(empty, "tracking store")["tracking store"].found.startswith("no store yet")
    assert (empty / "mlflow.db").read_bytes() == b""


@pytest.mark.parametrize("experiment", ["fer_mlops", "other"])
def test_a_store_is_written_read_and_left_as_it_was(world: Path, experiment: str) -> None:
    mlflow.create_experiment(experiment, (world / "mlruns" / experiment).as_uri())
    before = content(world)
    found = found_in(world, "tracking store", "stored files")
    assert [check.status for check in found.values()] == ["ok", "ok"]
    assert f"schema of MLflow {mlflow.__version__}" in found["tracking store"].found
    assert found["stored files"].found.startswith("written, read back and removed: experiment ")
    assert content(world) == before


@pytest.mark.slow
def test_a_server_is_written_read_and_left_as_it_was(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    server = Server(tmp_path)
    server.start()
    try:
        server.wait()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
        mlflow.set_tracking_uri(server.uri)
        mlflow.search_experiments()
        before = content(tmp_path)
        found = found_in(tmp_path, "tracking store", "stored files")
        assert [check.status for check in found.values()] == ["ok", "ok"], found
        assert found["tracking store"].found == f"{server.uri} responds, MLflow {mlflow.__version__}"
        after = content(tmp_path)
        assert after.keys() - before.keys() <= {str(tmp_path / "stored"), str(tmp_path / "stored" / "0")}
        assert {key: after[key] for key in before} == before
    finally:
        server.stop()
        mlflow.set_tracking_uri(None)


def test_a_server_that_does_not_respond_is_one_line_with_status_1(
    world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    monkeypatch.setattr(
        checks, "CHECKS", {name: CHECKS[name] for name in ("python", "tracking store", "stored files")}
    )
    status, out, _ = fer(capfd, "checks", "--json")
    assert status == 1
    good, bad = json.loads(out)
    assert (good["status"], bad["status"]) == ("ok", "failed")
    assert bad["found"].startswith("no tracking server answers at http://127.0.0.1:9")
    assert bad["remedy"].startswith("start it with 'mlflow server'")
    status, out, _ = fer(capfd, "checks")
    assert status == 1
    assert out.splitlines()[-1] == "Next:     repair tracking store, then fer-mlops checks"


def test_a_place_that_takes_no_files_fails(world: Path) -> None:
    (world / "full").touch()
    mlflow.create_experiment("fer_mlops", (world / "full" / "files").as_uri())
    before = content(world)
    failed = found_in(world, "stored files")["stored files"]
    assert failed.status == "failed"
    assert "files cannot be kept in" in failed.found
    assert content(world) == before


def test_an_old_schema_fails_and_is_not_updated(world: Path) -> None:
    with sqlite3.connect(world / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0584bdc529eb'")
    before = content(world)
    found = found_in(world, "tracking store", "stored files")
    assert list(found) == ["tracking store"]  # the other would say the same
    assert found["tracking store"].status == "failed"
    assert "made by an older version of MLflow" in found["tracking store"].found
    assert "mlflow db upgrade" in found["tracking store"].remedy
    assert content(world) == before


def test_a_tag_that_is_not_kept_fails(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow.MlflowClient, "set_experiment_tag", lambda *_: None)
    with pytest.raises(Exception, match="cannot be read back"):
        try_store()


def test_torch_is_loaded_for_the_last_lines_alone(empty: Path) -> None:
    assert list(CHECKS)[-len(WITH_TORCH) :] == WITH_TORCH
    code = (
        "import sys; from pathlib import Path\nfrom fer_mlops.pipelines.checks import run_checks\n"
        "for check in run_checks(Path('cache')):\n"
        "    if check.name == 'torch': break\n"
        "    assert 'torch' not in sys.modules, check"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=empty, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_torch_that_does_not_load_is_one_failed_line(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = found_in(empty, "python", *WITH_TORCH)
    assert list(found) == ["python", "torch"]
    assert found["torch"].status == "failed"
    assert found["torch"].remedy == "install it again"


def test_a_gpu_is_named_with_its_memory(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        name, total_memory = "H9", 141e9

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Gpu)
    monkeypatch.setattr(checks, "_multiply", lambda device: {"cuda": 40_000.0}[device])
    assert found_in(empty, "gpu")["gpu"].found == "H9 with 141 GB, H9 with 141 GB, 40,000 GFLOP/s"


def test_a_gpu_that_torch_cannot_use_is_a_warning(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(checks.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    found = found_in(empty, "gpu")["gpu"]
    assert found.status == "warning"
    assert "PyTorch's wheel" in found.remedy


@pytest.mark.parametrize(("free", "status"), [(1e8, "failed"), (1e9, "warning"), (9e9, "ok")])
def test_a_full_disk_is_told(
    empty: Path, monkeypatch: pytest.MonkeyPatch, free: float, status: str
) -> None:
    usage = checks.shutil.disk_usage(empty)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage._replace(free=free))
    assert found_in(empty, "disk")["disk"].status == status


def test_missing_packages_and_extras_come_with_the_command(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name in ("torchvision", "dlib-bin"):
            raise checks.PackageNotFoundError
        return real(name)

    real = checks.version
    monkeypatch.setattr(checks, "version", version)
    found = found_in(empty, "packages", "extras")
    assert found["packages"].status == "failed"
    assert found["packages"].remedy.startswith("pip install 'torchvision>=")
    assert found["extras"].status == "warning"
    assert "not installed: face" in found["extras"].found
    assert found["extras"].remedy.startswith("pip install 'fer-mlops[face]'")


def test_the_size_of_the_cache_is_told(empty: Path) -> None:
    (empty / "cache").mkdir()
    (empty / "cache" / "faces").write_bytes(bytes(2_000_000))
    assert found_in(empty, "cache")["cache"].found == f"{empty / 'cache'}, 2 MB in 1 files"
