"""MLflow project runs: starts an entry point in an available environment.

MLflow is imported inside a function, so that a wrong parameter is refused at once.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import yaml
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from fer_mlops.cli.commands import MOVED
from fer_mlops.cli.options import SECTIONS, build, build_timed, is_chosen
from fer_mlops.cli.project_file import ENTRY_POINTS, parameter_of
from fer_mlops.cli.train import suite_of
from fer_mlops.cli.tune import plan_of
from fer_mlops.config.options import KEYS
from fer_mlops.config.recipes import parse_assignments
from fer_mlops.data.datasets import DATASETS, find_data
from fer_mlops.errors import ConfigError, TrackingError, did_you_mean

_INPUTS = ("data", "split", "recipe", "relabel", "space", "teacher", "weights", "model", "gate")


def project_folder() -> Path:
    """Returns the folder that holds MLproject: the current folder, else the package's checkout."""
    for folder in (Path.cwd(), Path(__file__).parents[2]):
        if (folder / "MLproject").is_file():
            return folder
    raise ConfigError("no MLproject here; run it from a checkout of fer_mlops")


def choose_env_manager() -> str:
    """Returns ``conda`` if MLflow would find it, else ``local`` (this environment)."""
    home = os.environ.get("MLFLOW_CONDA_HOME")
    name = os.environ.get("CONDA_EXE", "conda")
    found = shutil.which(f"{home}/bin/conda" if home else name)
    return "conda" if found else "local"


def run_project(
    entry_point: str, parameters: Sequence[str], env_manager: str, experiment_name: str
) -> None:
    """Runs ``mlflow run`` on the project and waits until it has succeeded.

    Raises:
        ConfigError: The entry point or a parameter is unknown or malformed, or there is no MLproject.
        TrackingError: The run failed.
    """
    values = _values(entry_point, parameters)
    import mlflow
    from mlflow.exceptions import ExecutionException, MlflowException

    from fer_mlops.tracking.connection import reason_of
    from fer_mlops.tracking.store import check_store, ensure_experiment

    tracking = mlflow.get_tracking_uri()
    if tracking.startswith("sqlite:"):  # a relative path would be another file in the project's folder
        mlflow.set_tracking_uri(_absolute_database(tracking))
    check_store(experiment_name)
    manager = choose_env_manager() if env_manager == "auto" else env_manager
    if manager == "local":
        # the project's `python` must be this one even if this environment is not activated; with conda
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
        raise TrackingError(
            f"entry point {entry_point!r} failed in the {manager} environment: {reason_of(error)}"
        ) from error


def _values(entry_point: str, texts: Sequence[str]) -> dict[str, str]:
    """Returns the value of each parameter, with its path made absolute."""
    project = yaml.safe_load((project_folder() / "MLproject").read_text(encoding="utf-8"))
    entries = project["entry_points"]
    if entry_point not in entries:
        hint = did_you_mean(entry_point, entries, otherwise=f"there are: {', '.join(entries)}")
        raise ConfigError(f"no entry point {entry_point!r} in MLproject; {hint}")
    known = entries[entry_point].get("parameters", {})
    # the default is a relative path too, which must not lie in the project's folder
    values = {"storage": known["storage"]["default"]} if "storage" in known else {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"-P needs NAME=VALUE, such as epochs=5, got {text!r}")
        if name not in known:
            key = MOVED.get(entry_point, {}).get(f"--{name}".replace("_", "-"))
            hint = (
                f"it is now a setting: -P settings='{{{key}: VALUE}}'"
                if key
                else did_you_mean(name, known, otherwise=f"it has: {', '.join(known)}")
            )
            raise ConfigError(f"{entry_point} has no parameter {name!r}; {hint}")
        values[name] = value
    from_here = {name: _from_here(name, value) for name, value in values.items()}
    if entry_point in ENTRY_POINTS:  # a project of one's own may have others
        _check(entry_point, values)
    return from_here


def _check(entry_point: str, values: Mapping[str, str]) -> None:
    """Checks the values as the command will, before any run."""
    _, command = ENTRY_POINTS[entry_point]
    words = []
    for option in command.params:
        if value := values.get(parameter_of(option)):
            words += [value] if isinstance(option, click.Argument) else [f"{option.opts[0]}={value}"]
    try:
        options = command.make_context(entry_point, words).params
    except click.UsageError as error:
        raise ConfigError(f"{entry_point}: {error.format_message()}") from None
    if is_chosen(source := values.get("data", "")):
        find_data(source)
    if (minutes := options.get("minutes")) is not None:
        build_timed(minutes, entry_point, options, options["processes"] or 1)
    elif entry_point in SECTIONS:
        build(entry_point, options)
    elif entry_point == "all":
        suite_of(**options)
    elif entry_point == "tune":
        plan_of(**options)


def _settings_from_here(text: str) -> str:
    """Returns the parameter ``settings`` with the paths in it made absolute."""
    settings = parse_assignments([text])
    names = {key: name for name, key in KEYS.items()}
    absolute = {
        key: _from_here(names[key], value) if key in names and isinstance(value, str) else value
        for key, value in settings.items()
    }
    if absolute == settings:
        return text
    return yaml.safe_dump(absolute, default_flow_style=True, width=math.inf).strip()


def _from_here(name: str, value: str) -> str:
    """Returns a parameter with its path, if it has one, made absolute."""
    # MLflow runs the command in the project's folder, so a relative path would be another file
    if name == "storage":
        try:
            has_password = bool(make_url(value).password)
        except (ArgumentError, ValueError):
            return value  # tune refuses it with a message that shows no password
        if has_password:
            raise ConfigError(
                "-P storage holds a password, which MLflow would show as a parameter of the run; leave "
                "it out and set PGPASSWORD or ~/.pgpass, or start 'fer-mlops tune' itself"
            )
        return _absolute_database(value)
    if name == "settings" and is_chosen(value):
        return _settings_from_here(value)
    if name == "models":
        return ",".join(_from_here("model", one.strip()) for one in value.split(","))
    if name == "data" and (kind := value.partition(":"))[0] in DATASETS and kind[1]:
        return f"{kind[0]}:{_absolute(kind[2])}"
    path = _absolute(value)
    is_output = name == "out" and is_chosen(value)
    is_input = name in _INPUTS and is_chosen(value) and value != "sample" and os.path.lexists(path)
    return path if is_output or is_input else value


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - Path's raise for ~nobody


def _absolute_database(uri: str) -> str:
    """Returns the URL of an SQLite database with an absolute path; other URLs unchanged."""
    url = make_url(uri)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return uri
    return url.set(database=str(Path(url.database).absolute())).render_as_string(hide_password=False)
