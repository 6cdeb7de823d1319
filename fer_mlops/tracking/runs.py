"""Tracked runs: opening, resuming and ending them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException

from fer_mlops.config.training import TrackingConfig
from fer_mlops.tracking.connection import check_server, client, refused
from fer_mlops.tracking.run_end import end_run
from fer_mlops.tracking.store import ensure_experiment, takes_artifacts
from fer_mlops.tracking.tracker import Tracker

# name that MLflow makes up for a run, such as blushing-smelt-229
_MADE_UP = re.compile(r"[a-z]+-[a-z]+-\d+")


class RunStopped(Exception):
    """Ends the tracked run as KILLED; the message gives the reason."""


@contextmanager
def track(
    experiment_name: str,
    run_name: str,
    *,
    nested: bool = False,
    parent: str | None = None,
    resume: str | None = None,
    system_metrics: bool = False,
    wait_minutes: float = 10.0,
    tags: Mapping[str, str] | None = None,
) -> Iterator[Tracker]:
    """Opens a run and yields its tracker.

    The run ends FINISHED; KILLED after Ctrl-C or RunStopped; FAILED after any other exception.

    Args:
        experiment_name: Experiment of a new run.
        run_name: Name of a new run; replaces a name that MLflow made up for a project's run.
        nested: Whether the run is a child of the open run, or of ``parent``. A run that is not nested
            and not resumed is the project's own run under ``mlflow run``.
        parent: ID of a parent run that another process has open.
        resume: ID of a run to continue instead of opening a new one.
        system_metrics: Whether MLflow logs the machine's load.
        wait_minutes: Longest wait for a server that does not respond, where the run needs the response.
        tags: Tags that a new or resumed run has from its start.

    Raises:
        TrackingError: The tracking server does not respond, or refuses.
    """
    check_server()
    before = mlflow.active_run()
    try:
        run = _open(experiment_name, run_name, nested, parent, resume, system_metrics, tags)
    except BaseException as error:
        opened = mlflow.active_run()
        if opened and opened is not before:
            Tracker(opened.info.run_id, opened.info.experiment_id).end_unfinished("FAILED")
        if isinstance(error, MlflowException):
            raise refused(error) from error
        raise
    tracker = Tracker(run.info.run_id, run.info.experiment_id, patience=60 * wait_minutes)
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


def track_training(
    tracking: TrackingConfig,
    run_name: str,
    *,
    nested: bool = False,
    parent: str | None = None,
    resume: str | None = None,
) -> AbstractContextManager[Tracker]:
    """Opens a run as ``track`` does, with the tracking settings of an experiment."""
    return track(
        tracking.experiment,
        run_name,
        nested=nested,
        parent=parent,
        resume=resume,
        system_metrics=tracking.system_metrics,
        wait_minutes=tracking.wait_minutes,
    )


def fail_run(run_id: str) -> None:
    """Marks a run as FAILED after its process was killed."""
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
            client().set_tag(project_run, "fer_mlops.continued_as", resume)
        return mlflow.start_run(
            run_id=resume, nested=nested, log_system_metrics=system_metrics, tags=dict(tags or {})
        )
    if project_run and not nested:
        os.environ.pop("MLFLOW_RUN_ID")  # otherwise a later nested run would reuse the project's run
        info = client().get_run(project_run).info
        if takes_artifacts(info.artifact_uri or ""):
            if _MADE_UP.fullmatch(info.run_name or ""):
                client().update_run(project_run, name=run_name)
            return mlflow.start_run(run_id=project_run, log_system_metrics=system_metrics)
    # set_experiment would hold for the whole process, whose next run may be in another experiment
    run = mlflow.start_run(
        experiment_id=ensure_experiment(experiment_name).experiment_id,
        run_name=run_name,
        nested=nested,
        parent_run_id=parent,
        log_system_metrics=system_metrics,
        tags=dict(tags or {}),
    )
    if project_run and not nested:
        # `mlflow ui` created the project run's experiment, and only a server can store its artifacts
        client().set_tag(project_run, "fer_mlops.continued_as", run.info.run_id)
        mlflow.set_tag("fer_mlops.project_run", project_run)
    return run


def git_commit() -> str:
    """Returns the commit of the source in use, ``-dirty`` if a tracked file differs, or ``unknown``."""
    folder = Path(__file__).parents[2]

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout

    try:
        if not (folder / ".git").exists():  # an installed copy may be inside another checkout
            return "unknown"
        commit = git("rev-parse", "HEAD").strip()
        return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return "unknown"
