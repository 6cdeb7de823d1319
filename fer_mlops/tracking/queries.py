"""Run queries: settings, metrics, files and child runs of runs in the tracking store."""

from __future__ import annotations

import mlflow
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from fer_mlops.config.experiments import Experiment
from fer_mlops.config.recipes import experiment_from_json
from fer_mlops.errors import ModelError
from fer_mlops.tracking.connection import MISSING, client, shown_uri

CONFIG_FILE = "config.json"  # artifact of a run with all its settings


def get_run(run_id: str) -> Run:
    """Returns the run with this ID; raises ModelError if there is none."""
    try:
        return client().get_run(run_id)
    except MlflowException as error:
        if error.error_code not in (MISSING, "INVALID_PARAMETER_VALUE"):  # the latter: no ID at all
            raise
        raise ModelError(f"no run {run_id!r} at {shown_uri()}") from error


def logged_steps(run_id: str, metric: str) -> set[int]:
    """Returns the steps at which the run has logged the metric."""
    return {point.step for point in client().get_metric_history(run_id, metric)}


def read_text(run_id: str, path: str) -> str:
    """Returns the text of one of the run's files; raises ModelError if there is none."""
    try:
        return mlflow.artifacts.load_text(f"runs:/{run_id}/{path}")
    except (MlflowException, OSError) as error:
        raise ModelError(f"run {run_id!r} has no {path} of fer_mlops") from error


def load_run_config(run_id: str, *, to_repeat: bool = False) -> Experiment:
    """Returns the settings of a run.

    Raises:
        ModelError: The run does not exist or holds none.
        ConfigError: The run is ``to_repeat``, and a setting that it used was removed.
    """
    return experiment_from_json(read_text(run_id, CONFIG_FILE), to_repeat=to_repeat)


def finished_children(parent: str) -> list[str]:
    """Returns the finished runs nested under ``parent``, oldest first."""
    found = client().search_runs(
        [get_run(parent).info.experiment_id],
        f"tags.`mlflow.parentRunId` = '{parent}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time ASC"],
    )
    return [run.info.run_id for run in found]


def finished_runs(experiment_name: str, metric: str) -> list[Run]:
    """Returns the experiment's finished runs whose metric is known and at least 0, newest first."""
    experiment = client().get_experiment_by_name(experiment_name)
    if experiment is None:
        return []
    return list(
        client().search_runs(
            [experiment.experiment_id],
            f"attributes.status = 'FINISHED' and metrics.`{metric}` >= 0",
            order_by=["attributes.start_time DESC"],
        )
    )
