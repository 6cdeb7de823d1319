"""Store probe for ``fer-mlops checks``: finds and tries the tracking store, and leaves nothing in it."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
from mlflow.entities import Experiment as MlflowExperiment
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from sqlalchemy.engine import make_url

from fer_mlops.errors import TrackingError
from fer_mlops.tracking.connection import (
    FIRST_ANSWER,
    check_server,
    client,
    get_page,
    is_remote,
    our_errors,
    reason_of,
    shown_uri,
)
from fer_mlops.tracking.database import ELSEWHERE, KINDS, look_into
from fer_mlops.tracking.sqlite_registry import local_path
from fer_mlops.tracking.store import check_kind, takes_artifacts

_USUAL = "fer_mlops"  # experiment of training runs by default; its place for files is tried if it exists


def describe_store() -> str:
    """Returns address and version of the tracking store, after checking that it responds and fits."""
    check_server()
    uri = mlflow.get_tracking_uri()
    if is_remote():
        with our_errors():
            client().search_experiments(max_results=1)
        response = get_page("/version", FIRST_ANSWER)
        version = response.text[:20] if response.status_code == 200 else "of unknown version"
        return f"{shown_uri()} responds, MLflow {version}"
    check_kind(uri)
    if urlsplit(uri).scheme.partition("+")[0] not in KINDS:
        return f"{shown_uri()}, of a kind that is not checked"
    look_into(make_url(uri), is_written=True)
    return f"{shown_uri()}, schema of MLflow {mlflow.__version__}"


def check_folder_for(file: Path) -> None:
    """Raises TrackingError unless a database can be made at ``file``; makes nothing."""
    folder = next(parent for parent in file.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise TrackingError(f"cannot write {file.name} in {str(folder)!r}; {ELSEWHERE}")


def try_store() -> str:
    """Writes a tag and a file to an experiment, reads them back, removes them; returns where they were.

    Raises:
        TrackingError: Something cannot be written, read or removed.
    """
    # no run is made, as a server cannot remove one entirely
    with our_errors():
        experiment = _experiment()
        _try_tag(experiment.experiment_id)
    location = str(experiment.artifact_location)
    folder = local_path(location)
    if not takes_artifacts(location):
        raise TrackingError(
            f"experiment {experiment.name!r} stores its files through a tracking server; set "
            "MLFLOW_TRACKING_URI to that server"
        )
    if is_remote() and folder and not folder.parent.is_dir():
        raise TrackingError(
            f"the server keeps files in {location!r}, a folder that this machine does not have; start "
            "it with 'mlflow server --serve-artifacts'"
        )
    with _without_new(folder):
        try:
            _try_file(location)
        except (MlflowException, OSError, NotImplementedError) as error:
            raise TrackingError(
                f"files cannot be kept in {location!r}: {reason_of(error)}; correct its permissions, or "
                "the server's --artifacts-destination"
            ) from error
    return f"experiment {experiment.name}, files in {location}"


def _experiment() -> MlflowExperiment:
    store = client()
    usual = store.get_experiment_by_name(_USUAL)
    if usual and usual.lifecycle_stage == "active":
        return usual
    found = store.search_experiments(max_results=1)
    if not found:
        raise TrackingError("the store has no experiment to try; the first training run makes one")
    return found[0]


def _try_tag(experiment_id: str) -> None:
    store, key = client(), f"fer_mlops.check.{uuid.uuid4().hex}"
    try:
        store.set_experiment_tag(experiment_id, key, "written")
        if store.get_experiment(experiment_id).tags.get(key) != "written":
            raise TrackingError(f"a tag written to experiment {experiment_id} cannot be read back")
    finally:
        with suppress(MlflowException):  # not written
            store.delete_experiment_tag(experiment_id, key)


def _try_file(location: str) -> None:
    files, name = get_artifact_repository(location), f"fer-mlops-check-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as aside:
        sent, received = Path(aside) / "check.txt", Path(aside) / "received"
        sent.write_text(name, encoding="utf-8")
        received.mkdir()
        files.log_artifact(str(sent), name)  # type: ignore[no-untyped-call]
        try:
            place = files.download_artifacts(f"{name}/{sent.name}", str(received))  # type: ignore[no-untyped-call]
            if Path(place).read_text(encoding="utf-8") != name:
                raise OSError("a file was read back with other content")
        finally:
            files.delete_artifacts(name)  # type: ignore[no-untyped-call]


@contextmanager
def _without_new(folder: Path | None) -> Iterator[None]:
    """Removes the folders down to ``folder`` that the block makes, if they are empty at its end."""
    path = [folder, *folder.parents] if folder else []
    made = [each for each in path if not each.exists()]
    try:
        yield
    finally:
        for each in made:
            with suppress(OSError):  # another process uses it now
                each.rmdir()
