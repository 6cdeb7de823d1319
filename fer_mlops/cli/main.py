"""Command-line entry point: parse the options, call one function, print its result.

Commands import heavy modules inside their functions, so that ``--help`` is fast.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import socket
import sys
from typing import NoReturn

import click

from fer_mlops import __version__
from fer_mlops.cli.checks import checks
from fer_mlops.cli.commands import Choice, Command, Group
from fer_mlops.cli.data import data
from fer_mlops.cli.evaluate import compare, evaluate, explain
from fer_mlops.cli.init import init
from fer_mlops.cli.launch import check_processes, first_speaks, is_first, leave, num_started
from fer_mlops.cli.options import SECTIONS
from fer_mlops.cli.predict import export, predict, score
from fer_mlops.cli.registry import promote, registry, rollback
from fer_mlops.cli.serve import serve
from fer_mlops.cli.train import baseline, cnn, ensemble, run_everything, transfer
from fer_mlops.cli.tune import tune
from fer_mlops.cli.weights import weights
from fer_mlops.errors import ConfigError, FerError, printable
from fer_mlops.processes import set_up_libraries


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="fer-mlops")
@click.pass_context
def cli(context: click.Context) -> None:
    """Train, explain, track and serve facial-expression classifiers."""
    command = context.invoked_subcommand or ""
    if command not in SECTIONS:
        with first_speaks(FerError):
            check_processes(num_started(), command, repeats=False)


# filter of a warning about MLflow's own code, which every worker of its server would print
_OF_MLFLOW = "ignore:starlette.middleware.wsgi is deprecated"


@click.command(cls=Command, examples=("fer-mlops ui --port 5001",))
@click.option("--port", default=5000, show_default=True, help="Port of the UI.")
@click.option("--experiment", default="fer_mlops", show_default=True, help="MLflow experiment to show.")
def ui(port: int, experiment: str) -> None:
    """Start the MLflow UI for the runs in this folder."""
    from fer_mlops.tracking.connection import is_remote, store_uri
    from fer_mlops.tracking.runs_view import runs_address
    from fer_mlops.tracking.store import check_store, ensure_experiment

    check_store(experiment)
    address = runs_address(ensure_experiment(experiment).experiment_id, port)
    if is_remote():
        click.echo(address)
        return
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise ConfigError(f"port {port} is in use; choose another one with --port")
    click.echo(address)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # starts 12 LLM processes
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _OF_MLFLOW)))
    words = ["-m", "mlflow", "ui", "--backend-store-uri", store_uri(), "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *words])


@click.command(
    cls=Command,
    examples=(
        "fer-mlops run transfer -P data=faces/ -P preset=best",
        "fer-mlops run cnn -P data=faces/ -P settings='{training.loss: focal, seed: 1}'",
    ),
)
@click.argument("entry_point")
@click.option(
    "-P",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the entry point, as for mlflow run; repeatable.",
)
@click.option(
    "--env-manager",
    type=Choice(["auto", "conda", "local", "uv"]),
    default="auto",
    help="Environment to run in; auto uses conda if it is installed, else this environment.",
)
@click.option(
    "--experiment-name", default="fer_mlops", show_default=True, help="MLflow experiment of the run."
)
def run(entry_point: str, parameters: tuple[str, ...], env_manager: str, experiment_name: str) -> None:
    """Run an entry point of the MLflow project.

    It runs in a conda environment or in this one.
    """
    from fer_mlops.cli.mlflow_project import run_project

    run_project(entry_point, parameters, env_manager, experiment_name)


cli.add_section("Train", (baseline, cnn, transfer, ensemble, run_everything, tune))
cli.add_section("Data", (data,))
cli.add_section("Evaluate and explain", (evaluate, explain, compare))
cli.add_section("Use", (predict, score, serve, export))
cli.add_section("Registry", (promote, rollback, registry))
cli.add_section("Tools", (init, checks, weights, ui, run))


def main() -> NoReturn:
    """Runs the command line; users' mistakes end with one sentence instead of a traceback."""
    set_up_libraries()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # do not crash on unencodable characters
            stream.reconfigure(errors="backslashreplace")
    is_alone = num_started() == 1
    for kind in (signal.SIGTERM, signal.SIGHUP):  # SIGHUP: a remote terminal was lost
        signal.signal(kind, signal.default_int_handler if is_alone else leave)
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Abort as abort:
        if not is_first():
            sys.exit(130)
        how = f"; {abort.__cause__}" if str(abort.__cause__ or "") else ""
        _end(f"stopped: no partial files are left, and open runs are marked KILLED{how}", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConfigError as error:
        _end(str(error), 2)
    except FerError as error:
        _end(str(error), 1)
    except Exception as error:
        if not (message := _infrastructure_message(error)):
            raise
        _end(message, 1)
    sys.exit(result if isinstance(result, int) else 0)


def _infrastructure_message(error: Exception) -> str:
    """Returns a message for an error of MLflow, its database or the disk; empty for other errors."""
    # every command can meet these, and none of them is a bug in this package
    makers = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if makers & {"mlflow", "sqlalchemy"}:
        from fer_mlops.tracking.connection import refused  # MLflow is already loaded

        return str(refused(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return f"{error.strerror}{f': {error.filename!r}' if error.filename else ''}; free space"
    return ""


def _end(message: str, status: int) -> NoReturn:
    click.echo(f"fer-mlops: {printable(message)}", err=True)
    sys.exit(status)
