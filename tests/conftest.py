"""A tiny world for every test: its own folder, tracking store and cache; no network."""

from __future__ import annotations

import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import optuna
import pytest
import torch
import unsynced  # noqa: F401 - databases and files do not wait for the disk
from matplotlib.figure import Figure

from fer_mlops.data.datasets.sample import draw_sample
from fer_mlops.tracking.tracker import Tracker


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)  # two workers share two cores


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a test connect to this machine only."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "local"
        if host not in ("127.0.0.1", "::1", "localhost", "local"):
            raise OSError(f"a test tried to reach {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs blank figures, for drawing takes half the time of a tiny training; not where ``draws``."""
    if request.node.get_closest_marker("draws"):
        return
    real, blank = Tracker.log_figure, Figure(figsize=(0.1, 0.1))
    monkeypatch.setattr(Tracker, "log_figure", lambda tracker, path, _: real(tracker, path, blank))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; making one takes seconds, copying it does not."""
    folder = tmp_path_factory.mktemp("store")
    mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def empty_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Optuna's tables; making them takes longer than copying, too."""
    folder = tmp_path_factory.mktemp("optuna")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna.db").remove_session()
    return folder / "optuna.db"


@pytest.fixture
def world(
    tmp_path: Path, empty_store: Path, drawn_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder to stand in, with a tracking store of its own."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("FER_MLOPS_CACHE", str(drawn_cache))
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # as the command line sets it
    for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    mlflow.set_tracking_uri(uri)
    yield tmp_path
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


@pytest.fixture(scope="session")
def drawn_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that fills during the session; what it holds is keyed by content."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def faces_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn faces of 20 people, one of each emotion, as a folder per emotion."""
    folder = tmp_path_factory.mktemp("faces")
    draw_sample(folder, num_identities=20, variants=1, seed=3)
    return folder


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)
