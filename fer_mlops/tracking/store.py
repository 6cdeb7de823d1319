"""Tracking store check: fails before any data is read or computed if runs cannot be stored."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment as MlflowExperiment
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url

from fer_mlops.errors import TrackingError
from fer_mlops.tracking.connection import check_server, client, is_remote, refused
from fer_mlops.tracking.database import ELSEWHERE, KINDS, check_database, file_of
from fer_mlops.tracking.sqlite_registry import local_path


def check_store(experiment: str | None = None) -> None:
    """Checks that the tracking store can be used: read, or written to in ``experiment``.

    The experiment is created with its database if missing.

    Raises:
        TrackingError: The store cannot be used; the message says what to do.
    """
    check_server()
    uri = mlflow.get_tracking_uri()
    if not is_remote():
        check_kind(uri)
        if urlsplit(uri).scheme.partition("+")[0] in KINDS:
            check_database(uri, is_written=experiment is not None)
    if experiment is not None and "MLFLOW_RUN_ID" not in os.environ:  # a project's run has its own
        ensure_experiment(experiment)


def missing_database() -> Path | None:
    """Returns the SQLite file of the tracking store if it is missing or empty, else None."""
    uri = mlflow.get_tracking_uri()
    if is_remote() or urlsplit(uri).scheme.partition("+")[0] != "sqlite":
        return None
    file = file_of(make_url(uri))
    return file if file and not (file.exists() and file.stat().st_size) else None


def check_no_open_run() -> None:
    """Raises TrackingError if this process has a run open, inside which no other run can start."""
    if run := mlflow.active_run():
        raise TrackingError(
            f"run {run.info.run_id} is open in this process; end it with mlflow.end_run() first"
        )


def check_kind(uri: str) -> None:
    """Raises TrackingError if the store is a folder of files, which has no registry."""
    if urlsplit(uri).scheme not in ("", "file"):
        return
    folder = shlex.quote(str(local_path(uri)))
    database = shlex.quote(f"sqlite:///{Path('mlflow.db').resolve()}")
    raise TrackingError(
        f"the tracking store {uri!r} is a folder of files, as older versions of MLflow kept runs; "
        f"fer-mlops needs a database or a server: 'export MLFLOW_TRACKING_URI={database}' starts one; "
        f"'mlflow migrate-filestore --source {folder} --target {database}' first copies the old runs"
    )


def ensure_experiment(name: str) -> MlflowExperiment:
    """Returns the experiment of this name; creates it if it does not exist.

    Without a server, a new experiment stores its artifacts in ``mlruns/<name>`` of the current folder.

    Raises:
        TrackingError: The experiment is deleted, or its runs could not store their files.
    """
    store = client()
    try:
        experiment = store.get_experiment_by_name(name) or _made(store, name)
    except MlflowException as error:
        raise refused(error) from error
    location, number = experiment.artifact_location, experiment.experiment_id
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"experiment {name!r} is deleted; 'mlflow experiments restore --experiment-id {number}' "
            "restores it, or choose another experiment"
        )
    if not takes_artifacts(location):
        raise TrackingError(
            f"experiment {name!r} stores its artifacts through a tracking server; set "
            "MLFLOW_TRACKING_URI to that server, or use --set tracking.experiment=OTHER"
        )
    folder = None if is_remote() else local_path(location)
    if folder and not folder.is_dir():
        if store.search_runs([number], max_results=1):
            raise TrackingError(
                f"experiment {name!r} stores its artifacts in {str(folder)!r}, which is missing; "
                "restore that folder, or choose another experiment"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrackingError(
                f"cannot create {str(folder)!r}: {error.strerror}; {ELSEWHERE}"
            ) from error
    return experiment


def _made(store: MlflowClient, name: str) -> MlflowExperiment:
    # absolute: a relative address would mean another folder in each working directory
    location = None if is_remote() else (Path("mlruns") / name).resolve().as_uri()
    try:
        return store.get_experiment(store.create_experiment(name, location))
    except MlflowException as error:
        made = store.get_experiment_by_name(name)  # another process may have created it just now
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or made is None:
            raise
        return made


def takes_artifacts(artifact_uri: str) -> bool:
    """Returns whether this process can write to the address: ``mlflow-artifacts:`` needs a server."""
    return is_remote() or not artifact_uri.startswith("mlflow-artifacts:")
