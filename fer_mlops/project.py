"""Starting an entry point of the MLflow project in an environment that is there."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import mlflow
from mlflow.exceptions import ExecutionException, MlflowException

from fer_mlops.errors import ConfigError, TrackingError
from fer_mlops.tracking import check_server, ensure_experiment


def project_folder() -> Path:
    """Returns the folder that holds MLproject: this one, else the package's checkout.

    Raises:
        ConfigError: Neither does.
    """
    for folder in (Path.cwd(), Path(__file__).parent.parent):
        if (folder / "MLproject").is_file():
            return folder
    raise ConfigError("no MLproject here; run it from a checkout of fer_mlops")


def choose_env_manager() -> str:
    """Returns ``conda`` where MLflow would find one, else ``local``: this environment."""
    home = os.environ.get("MLFLOW_CONDA_HOME")
    name = os.environ.get("CONDA_EXE", "conda")
    found = shutil.which(f"{home}/bin/conda" if home else name)
    return "conda" if found else "local"


def run_project(
    entry_point: str, parameters: Sequence[str], env_manager: str, experiment_name: str
) -> None:
    """Runs ``mlflow run`` on the project and returns when it has ended well.

    Args:
        entry_point: A name in MLproject.
        parameters: ``name=value`` each.
        env_manager: ``conda``, ``local``, ``uv``, or ``auto`` to choose.
        experiment_name: Of the run.

    Raises:
        ConfigError: A parameter is malformed, or the entry point unknown.
        TrackingError: The run failed.
    """
    values = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"-P needs NAME=VALUE, such as epochs=5, got {text!r}")
        values[name] = value
    check_server()
    manager = choose_env_manager() if env_manager == "auto" else env_manager
    if manager == "local":
        # `python` in the project's commands must be this one even where it is not activated; for conda
        # it must not be, or `source activate` would find this environment's script
        here = str(Path(sys.executable).parent)
        os.environ["PATH"] = os.pathsep.join([here, os.environ.get("PATH", "")])
    try:
        mlflow.projects.run(  # type: ignore[no-untyped-call]
            str(project_folder()),
            entry_point,
            parameters=values,
            env_manager=manager,
            experiment_id=ensure_experiment(experiment_name).experiment_id,
        )
    except (ExecutionException, MlflowException) as error:
        reason = str(error).splitlines()[0]
        raise TrackingError(
            f"entry point {entry_point!r} with {manager} did not end well: {reason}"
        ) from error
