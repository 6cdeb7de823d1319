"""Opening and ending runs: where they go, whose they are, how they end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment as MlflowExperiment
from mlflow.exceptions import MlflowException

from fer_mlops.ending import end_run
from fer_mlops.errors import TrackingError
from fer_mlops.server import check_server as check_server
from fer_mlops.server import is_remote, refused
from fer_mlops.server import shown_uri as shown_uri
from fer_mlops.tracker import CONFIG_FILE as CONFIG_FILE
from fer_mlops.tracker import MODEL_CODE as MODEL_CODE
from fer_mlops.tracker import MODEL_NAME as MODEL_NAME
from fer_mlops.tracker import SPLIT_FILE as SPLIT_FILE
from fer_mlops.tracker import Tracker as Tracker


class RunStopped(Exception):
    """Ends the tracked run as KILLED; the message says why."""


@contextmanager
def track(
    experiment_name: str,
    run_name: str,
    *,
    nested: bool = False,
    parent: str | None = None,
    resume: str | None = None,
    system_metrics: bool = False,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Tracker]:
    """Opens a run: the project's own under ``mlflow run``, else a new one or ``resume``'s.

    A nested one belongs to the run that is open, or to ``parent``, which another process has open. It
    has ``tags`` from its first moment on.

    It ends FINISHED; KILLED after Ctrl-C or RunStopped; FAILED after any other exception.

    Raises:
        TrackingError: The tracking server does not answer, or refuses.
    """
    check_server()
    before = mlflow.active_run()
    try:
        run = _open(experiment_name, run_name, nested, parent, resume, system_metrics, tags)
    except BaseException as error:
        opened = mlflow.active_run()
        if opened and opened is not before:
            _tracker_of(opened).end_unfinished("FAILED")
        if isinstance(error, MlflowException):
            raise refused(error) from error
        raise
    tracker = _tracker_of(run)
    status = "FAILED"
    try:
        try:
            yield tracker
        except RunStopped:
            tracker.ask(lambda: None)
            status = "KILLED"
            raise
        tracker.finish()
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except MlflowException as error:
        raise refused(error) from error
    finally:
        tracker.end_unfinished(status)


def _tracker_of(run: mlflow.ActiveRun) -> Tracker:
    return Tracker(run.info.run_id, run.info.experiment_id)


def fail_run(run_id: str) -> None:
    """Marks a run FAILED whose process was killed."""
    end_run(run_id, "FAILED")


def _open(
    experiment_name: str,
    run_name: str,
    nested: bool,
    parent: str | None,
    resume: str | None,
    system_metrics: bool,
    tags: Mapping[str, str] | None,
) -> mlflow.ActiveRun:
    project_run = os.environ.get("MLFLOW_RUN_ID")
    if resume:
        os.environ.pop("MLFLOW_RUN_ID", None)
        if project_run:
            MlflowClient().set_tag(project_run, "fer_mlops.continued_as", resume)
        return mlflow.start_run(
            run_id=resume, nested=nested, log_system_metrics=system_metrics, tags=dict(tags or {})
        )
    if project_run and not nested:
        os.environ.pop("MLFLOW_RUN_ID")  # or a later nested run would be the project's run again
        if _takes_artifacts(MlflowClient().get_run(project_run).info.artifact_uri or ""):
            return mlflow.start_run(run_id=project_run, log_system_metrics=system_metrics)
    # not set_experiment, which stays set for the process, whose next run may be in another experiment
    run = mlflow.start_run(
        experiment_id=ensure_experiment(experiment_name).experiment_id,
        run_name=run_name,
        nested=nested,
        parent_run_id=parent,
        log_system_metrics=system_metrics,
        tags=dict(tags or {}),
    )
    if project_run and not nested:
        # `mlflow ui` made the project run's experiment, whose artifacts only a server can store
        MlflowClient().set_tag(project_run, "fer_mlops.continued_as", run.info.run_id)
        mlflow.set_tag("fer_mlops.project_run", project_run)
    return run


def _takes_artifacts(artifact_uri: str) -> bool:
    """Returns whether this process can write there: ``mlflow-artifacts:`` needs a server."""
    return is_remote() or not artifact_uri.startswith("mlflow-artifacts:")


def ensure_experiment(name: str) -> MlflowExperiment:
    """Returns the experiment, made if need be, in a place that needs no server if there is none.

    Raises:
        TrackingError: The experiment's artifacts can be written through a tracking server only.
    """
    client = MlflowClient()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        location = None if is_remote() else (Path("mlruns") / name).resolve().as_uri()
        experiment = client.get_experiment(client.create_experiment(name, location))
    if not _takes_artifacts(experiment.artifact_location):
        raise TrackingError(
            f"experiment {name!r} stores its artifacts through a tracking server; set "
            "MLFLOW_TRACKING_URI to that server, or use --set tracking.experiment=OTHER"
        )
    return experiment


def training_view(experiment_id: str) -> str:
    """Returns the address of the runs table in its training view, without the server's part."""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning"


def git_commit() -> str:
    """Returns the commit of the source in use, or ``unknown`` outside a checkout."""
    head = Path(__file__).parent.parent / ".git" / "HEAD"
    try:
        text = head.read_text(encoding="utf-8").strip()
        if not text.startswith("ref: "):
            return text
        return (head.parent / text.removeprefix("ref: ")).read_text(encoding="utf-8").strip()
    except OSError:
        return "unknown"
