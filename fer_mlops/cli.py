"""The command line: parse, call one function, print.

Heavy modules are imported inside commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fer_mlops import __version__
from fer_mlops.cache import cache_folder
from fer_mlops.data_commands import data
from fer_mlops.errors import ConfigError, FerError
from fer_mlops.options import (
    COMMON,
    DATA_HELP,
    FIT,
    FOLDS,
    INT,
    READING,
    RESUME,
    SECTIONS,
    SIZE,
    TRANSFER,
    build,
    is_chosen,
    with_options,
)

if TYPE_CHECKING:
    from fer_mlops.config import Experiment


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fer-mlops")
def cli() -> None:
    """Train, explain, track and serve facial-expression classifiers."""


cli.add_command(data)


def _train(family: str, options: Mapping[str, Any]) -> None:
    from fer_mlops.checkpoints import load_checkpoint
    from fer_mlops.console import print_step, print_trained, progress_bars
    from fer_mlops.experiment import run_experiment
    from fer_mlops.judging import experiment_of
    from fer_mlops.preparation import prepare_data
    from fer_mlops.tracking import check_server, track

    resume = options.get("resume") or None
    check_server()
    experiment = experiment_of(resume) if resume else build(family, options)
    if experiment.data.folds and not resume:
        _train_folds(experiment)
        return
    if experiment.family != family:
        raise ConfigError(f"run {resume} is a {experiment.family} run, not {family}")
    checkpoints = cache_folder() / "checkpoints"
    state = load_checkpoint(checkpoints / f"{resume}.pt") if resume else None
    with progress_bars() as begin:
        data = prepare_data(experiment, cache_folder(), begin)
        with track(
            experiment.tracking.experiment,
            f"{family}-{data.table.name}-{data.split.kind}",
            resume=resume,
            system_metrics=experiment.tracking.system_metrics,
        ) as tracker:
            trained = run_experiment(
                experiment,
                data,
                tracker,
                begin=begin,
                on_step=print_step,
                checkpoint=checkpoints / f"{tracker.run_id}.pt",
                resume_from=state,
            )
    print_trained(trained)


def _train_folds(experiment: Experiment) -> None:
    from fer_mlops.console import print_folds, progress_bars
    from fer_mlops.crossvalidation import cross_validate

    with progress_bars() as begin:
        print_folds(cross_validate(experiment, cache_folder(), begin))


@cli.command()
@with_options(*COMMON, *READING, *FOLDS, *SIZE)
def baseline(**options: Any) -> None:
    """Train HOG + SVM."""
    _train("baseline", options)


@cli.command()
@with_options(*COMMON, *READING, *FOLDS, *SIZE, *FIT, *RESUME)
def cnn(**options: Any) -> None:
    """Train a network from scratch (presets: course, fast, best)."""
    _train("cnn", options)


@cli.command()
@with_options(*COMMON, *READING, *FOLDS, *SIZE, *FIT, *TRANSFER, *RESUME)
def transfer(**options: Any) -> None:
    """Train a pretrained backbone: head first, then the whole network."""
    _train("transfer", options)


@cli.command(name="all")
@with_options(
    *COMMON[:3],
    *READING,
    click.option("--epochs", type=INT, default="auto", help="Of both networks."),
    click.option("--cnn-preset", default="fast", show_default=True),
    *TRANSFER,
    *COMMON[-2:],
)
def run_everything(cnn_preset: str, **options: Any) -> None:
    """Train all three families on the same faces and compare them."""
    from fer_mlops.console import print_comparison, print_registration, print_view, progress_bars
    from fer_mlops.suite import run_suite
    from fer_mlops.tracking import check_server

    check_server()
    shared = {k: v for k, v in options.items() if k not in ("epochs", "backbone", "weights")}
    experiments = [
        build("baseline", shared),
        build("cnn", {**shared, "epochs": options["epochs"], "preset": cnn_preset}),
        build("transfer", options),
    ]
    with progress_bars() as begin:
        suite = run_suite(experiments, cache_folder(), begin)
    print_comparison(suite.comparison)
    for trained in suite.trained:
        print_registration(trained)
    print_view(suite.trained[0].experiment_id)


@cli.command()
@click.argument("family", type=click.Choice(list(SECTIONS)), default="cnn")
@with_options(
    click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True),
    click.option("--study", default="", help="Name; the same name goes on with the same study."),
    click.option("--storage", default="sqlite:///optuna.db", show_default=True),
    *COMMON,
    *READING,
    *SIZE,
    *FIT,
)
def tune(family: str, trials: int, study: str, storage: str, **options: Any) -> None:
    """Search settings of FAMILY with Optuna, then train and test the winner."""
    from fer_mlops.console import print_trained, progress_bars
    from fer_mlops.tracking import check_server
    from fer_mlops.tuning import tune as search

    check_server()
    experiment = build(family, options)
    with progress_bars() as begin:
        sweep = search(
            experiment,
            num_trials=trials,
            study_name=study if is_chosen(study) else family,
            storage_url=storage,
            cache=cache_folder(),
            begin=begin,
        )
    click.echo(
        f"study {sweep.study_name}: {sweep.num_trials} trials, best validation macro-F1 "
        f"{sweep.best_value:.4f} with {sweep.best_settings}"
    )
    print_trained(sweep.winner)


@cli.command()
@click.option("--model", default="models:/fer-classifier@champion", show_default=True)
@click.option("--data", default="auto", help=f"What the model was trained on, or: {DATA_HELP}")
@click.option("--experiment", default="fer_mlops", show_default=True)
def evaluate(model: str, data: str, experiment: str) -> None:
    """Evaluate a trained model again: on its own test faces, or on other data."""
    from fer_mlops.console import print_report, print_view, progress_bars
    from fer_mlops.judging import judge
    from fer_mlops.tracking import track

    with progress_bars() as begin, track(experiment, "evaluate") as tracker:
        source = data if is_chosen(data) else None
        judged = judge(model, source, tracker, cache_folder(), begin)
    print_report(judged.report, f"{model} on {judged.faces}")
    print_view(tracker.experiment_id)


@cli.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", default="models:/fer-classifier@champion", show_default=True)
@click.option("--out", default="explanations", show_default=True, type=click.Path(path_type=Path))
def explain(images: tuple[Path, ...], model: str, out: Path) -> None:
    """Write a heat map over each image: where the model looked."""
    from fer_mlops.console import print_answers
    from fer_mlops.judging import explain_images, find_images
    from fer_mlops.registry import load_classifier
    from fer_mlops.tracking import check_server

    found = find_images(list(images))
    check_server()
    print_answers(explain_images(load_classifier(model, for_gradients=True), found, out))


@cli.command()
@click.option("--runs", default="", help="Run ids, separated by commas.")
@click.option("--parent", default="", help="A parent run, all of whose children are compared.")
@click.option("--experiment", default="fer_mlops", show_default=True)
def compare(runs: str, parent: str, experiment: str) -> None:
    """Compare runs: those named, a parent's children, or the latest of each family."""
    from fer_mlops.comparison import children_of, compare_runs, latest_runs, log_comparison
    from fer_mlops.console import print_comparison, print_view
    from fer_mlops.tracking import check_server, track

    if is_chosen(runs) and is_chosen(parent):
        raise ConfigError("--runs and --parent both say what to compare; give one")
    check_server()
    if is_chosen(runs):
        ids = [run.strip() for run in runs.split(",") if run.strip()]
    else:
        ids = children_of(parent) if is_chosen(parent) else latest_runs(experiment)
    comparison = compare_runs(ids)
    with track(experiment, "compare") as tracker:
        log_comparison(comparison, tracker)
    print_comparison(comparison)
    print_view(tracker.experiment_id)


@cli.command()
@click.option("--port", default=5000, show_default=True)
@click.option("--experiment", default="fer_mlops", show_default=True)
def ui(port: int, experiment: str) -> None:
    """Open MLflow's UI on this folder's runs, in its training view."""
    import mlflow

    from fer_mlops.tracking import check_server, ensure_experiment, training_view

    check_server()
    uri = mlflow.get_tracking_uri()
    view = training_view(ensure_experiment(experiment).experiment_id)
    if uri.startswith("http"):
        click.echo(f"{uri.rstrip('/')}{view}")
        return
    click.echo(f"http://127.0.0.1:{port}{view}")
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # a dozen processes for LLMs
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--backend-store-uri",
        uri,
        "--port",
        str(port),
    ]
    os.execv(sys.executable, command)


@cli.command()
@click.argument("entry_point")
@click.option("-P", "parameters", multiple=True, metavar="NAME=VALUE", help="As for mlflow run.")
@click.option(
    "--env-manager",
    type=click.Choice(["auto", "conda", "local", "uv"]),
    default="auto",
    help="auto: conda if it is there, else this environment.",
)
@click.option("--experiment-name", default="fer_mlops", show_default=True)
def run(entry_point: str, parameters: tuple[str, ...], env_manager: str, experiment_name: str) -> None:
    """Run an entry point of the MLflow project in an environment that is there."""
    from fer_mlops.project import run_project

    run_project(entry_point, parameters, env_manager, experiment_name)


def main() -> NoReturn:
    """Runs the command line; a user's mistake ends in one sentence, never a traceback."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("alembic", "optuna"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="PIL")  # what is wrong with an image, we say
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _end("stopped: nothing half-written is left; runs that were open are marked KILLED", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConfigError as error:
        _end(str(error), 2)
    except FerError as error:
        _end(str(error), 1)
    sys.exit(result if isinstance(result, int) else 0)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _end(message: str, status: int) -> NoReturn:
    click.echo(f"fer-mlops: {message}", err=True)
    sys.exit(status)
