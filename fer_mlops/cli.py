"""The command line: parse, call one function, print.

Heavy modules are imported inside commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fer_mlops import __version__
from fer_mlops.errors import ConfigError, FerError

if TYPE_CHECKING:
    from fer_mlops.config import Experiment

Command = Callable[..., Any]

_DATA_HELP = "'sample', a folder with one subfolder per emotion, a csv, or a copy of Muxspace."


class _AutoNumber(click.ParamType[Any]):
    """A number, or ``auto`` for what the recipe or preset says."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind
        self.name = "integer|auto" if kind is int else "number|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float | None:
        if value in (None, "auto"):
            return None
        try:
            return self.kind(value)
        except (TypeError, ValueError):
            self.fail(f"{value!r} is neither a number nor 'auto'", param, ctx)


_INT, _FLOAT = _AutoNumber(int), _AutoNumber(float)

_COMMON = (
    click.option("--data", default="sample", show_default=True, help=_DATA_HELP),
    click.option(
        "--split",
        type=click.Choice(["auto", "identity", "random"]),
        default="auto",
        help="identity (default) keeps each person in one part; random flatters.",
    ),
    click.option("--seed", type=_INT, default="auto", help="Start of every random choice."),
    click.option("--recipe", default="", help="YAML file of settings, read first."),
    click.option("--preset", default="", help="One of the project's own recipes, by name."),
    click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any setting; repeatable."
    ),
    click.option(
        "--on-bad-image",
        type=click.Choice(["auto", "error", "skip"]),
        default="auto",
        help="Stop at an unreadable image, or leave it out.",
    ),
    click.option("--experiment", default="", help="MLflow experiment, if not fer_mlops."),
)
_SIZE = (click.option("--image-size", type=_INT, default="auto", help="Side of a face in pixels."),)
_FIT = (
    click.option("--epochs", type=_INT, default="auto", help="Most passes over the faces."),
    click.option("--batch-size", type=_INT, default="auto", help="Faces per step."),
    click.option("--learning-rate", type=_FLOAT, default="auto", help="Peak step size."),
)
_TRANSFER = (
    click.option("--backbone", default="auto", show_default=True, help="resnet18, efficientnet_lite0."),
    click.option(
        "--weights",
        default="imagenet",
        show_default=True,
        help="imagenet, a state dict's path, none.",
    ),
)
_RESUME = (click.option("--resume", default="", metavar="RUN_ID", help="Go on with a killed run."),)


def _with(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_SECTIONS = {"baseline": "hog_svm", "cnn": "cnn", "transfer": "transfer"}


def _build(family: str, options: Mapping[str, Any]) -> Experiment:
    """Returns the experiment that the options ask for; ``auto`` and empty ones set nothing."""
    from fer_mlops.recipes import build_experiment, parse_assignment, preset_path

    keys = {
        "data": "data.source",
        "split": "data.split",
        "seed": "seed",
        "on_bad_image": "data.on_bad_image",
        "experiment": "tracking.experiment",
        "image_size": f"{_SECTIONS[family]}.image_size",
        "epochs": "training.epochs",
        "batch_size": "training.batch_size",
        "learning_rate": "training.learning_rate",
        "backbone": "transfer.backbone",
        "weights": "transfer.weights",
    }
    chosen = {key: options.get(name) for name, key in keys.items()}
    settings = {key: value for key, value in chosen.items() if value not in (None, "", "auto")}
    settings.update(parse_assignment(text) for text in options.get("assignments", ()) if text)
    recipe, preset = options.get("recipe"), options.get("preset")
    if recipe and preset:
        raise ConfigError(f"--recipe {recipe} and --preset {preset} both name a recipe; give one")
    path = preset_path(family, preset) if preset else Path(recipe) if recipe else None
    return build_experiment(family, recipe=path, settings=settings)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fer-mlops")
def cli() -> None:
    """Train, explain, track and serve facial-expression classifiers."""


def _train(family: str, options: Mapping[str, Any]) -> None:
    from fer_mlops.checkpoints import load_checkpoint
    from fer_mlops.console import print_step, print_trained, progress_bars
    from fer_mlops.experiment import prepare_data, run_experiment
    from fer_mlops.images import cache_folder
    from fer_mlops.judging import experiment_of
    from fer_mlops.tracking import check_server, track

    resume = options.get("resume") or None
    check_server()
    experiment = experiment_of(resume) if resume else _build(family, options)
    if experiment.family != family:
        raise ConfigError(f"run {resume} is a {experiment.family} run, not {family}")
    checkpoints = cache_folder() / "checkpoints"
    state = load_checkpoint(checkpoints / f"{resume}.pt") if resume else None
    with progress_bars() as begin:
        data = prepare_data(experiment, cache_folder(), begin)
        with track(
            experiment.tracking.experiment,
            family,
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


@cli.command()
@_with(*_COMMON, *_SIZE)
def baseline(**options: Any) -> None:
    """Train HOG + SVM."""
    _train("baseline", options)


@cli.command()
@_with(*_COMMON, *_SIZE, *_FIT, *_RESUME)
def cnn(**options: Any) -> None:
    """Train a network from scratch (presets: course, strong)."""
    _train("cnn", options)


@cli.command()
@_with(*_COMMON, *_SIZE, *_FIT, *_TRANSFER, *_RESUME)
def transfer(**options: Any) -> None:
    """Train a pretrained backbone: head first, then the whole network."""
    _train("transfer", options)


@cli.command(name="all")
@_with(
    *_COMMON[:3],
    click.option("--epochs", type=_INT, default="auto", help="Of both networks."),
    click.option("--cnn-preset", default="strong", show_default=True),
    *_TRANSFER,
    *_COMMON[-2:],
)
def run_everything(cnn_preset: str, **options: Any) -> None:
    """Train all three families on the same faces and compare them."""
    from fer_mlops.console import print_comparison, print_registration, print_view, progress_bars
    from fer_mlops.images import cache_folder
    from fer_mlops.suite import run_suite
    from fer_mlops.tracking import check_server

    check_server()
    shared = {k: v for k, v in options.items() if k not in ("epochs", "backbone", "weights")}
    experiments = [
        _build("baseline", shared),
        _build("cnn", {**shared, "epochs": options["epochs"], "preset": cnn_preset}),
        _build("transfer", options),
    ]
    with progress_bars() as begin:
        suite = run_suite(experiments, cache_folder(), begin)
    print_comparison(suite.comparison)
    for trained in suite.trained:
        print_registration(trained)
    print_view(suite.trained[0].experiment_id)


@cli.command()
@click.argument("family", type=click.Choice(list(_SECTIONS)), default="cnn")
@_with(
    click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True),
    click.option("--study", default="", help="Name; the same name goes on with the same study."),
    click.option("--storage", default="sqlite:///optuna.db", show_default=True),
    *_COMMON,
    *_SIZE,
    *_FIT,
)
def tune(family: str, trials: int, study: str, storage: str, **options: Any) -> None:
    """Search settings of FAMILY with Optuna, then train and test the winner."""
    from fer_mlops.console import print_trained, progress_bars
    from fer_mlops.images import cache_folder
    from fer_mlops.tracking import check_server
    from fer_mlops.tuning import tune as search

    check_server()
    experiment = _build(family, options)
    with progress_bars() as begin:
        sweep = search(
            experiment,
            num_trials=trials,
            study_name=study or family,
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
@click.option("--data", default="auto", help=f"What the model was trained on, or: {_DATA_HELP}")
@click.option("--experiment", default="fer_mlops", show_default=True)
def evaluate(model: str, data: str, experiment: str) -> None:
    """Evaluate a trained model again: on its own test faces, or on other data."""
    from fer_mlops.console import print_report, print_view, progress_bars
    from fer_mlops.images import cache_folder
    from fer_mlops.judging import judge
    from fer_mlops.tracking import track

    with progress_bars() as begin, track(experiment, "evaluate") as tracker:
        source = None if data in ("", "auto") else data
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

    if runs and parent:
        raise ConfigError("--runs and --parent both say what to compare; give one")
    check_server()
    named = [run.strip() for run in runs.split(",") if run.strip()]
    ids = named or (children_of(parent) if parent else latest_runs(experiment))
    comparison = compare_runs(ids)
    with track(experiment, "compare") as tracker:
        log_comparison(comparison, tracker)
    print_comparison(comparison)
    print_view(tracker.experiment_id)


@cli.group()
def data() -> None:
    """Look at data before training on it."""


@data.command(name="check")
@click.argument("source", metavar="DATA")
@click.option("--seed", default=0, show_default=True)
def check_data(source: str, seed: int) -> None:
    """Say what is wrong with DATA and what it will do to the numbers; status 1 on errors."""
    from fer_mlops.config import DataConfig
    from fer_mlops.console import print_findings, progress_bars
    from fer_mlops.datasets import load_faces
    from fer_mlops.doctor import examine
    from fer_mlops.images import cache_folder

    table = load_faces(source, cache_folder())
    with progress_bars() as begin:
        findings = examine(table, DataConfig(source=source), seed, begin("files", len(table)))
    click.echo(
        f"{table.name}: {len(table)} faces; " + ", ".join(f"{e} {n}" for e, n in table.counts().items())
    )
    print_findings(findings)
    if any(finding.severity == "error" for finding in findings):
        sys.exit(1)


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
