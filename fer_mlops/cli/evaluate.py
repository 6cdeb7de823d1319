"""Commands for trained models: evaluate, explain, compare."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops import CHAMPION_NAME
from fer_mlops.cli.commands import Choice, Command, option, with_options
from fer_mlops.cli.options import BOOL, DATA_HELP, MODEL, READING, is_chosen, model_option
from fer_mlops.cli.result import Result, with_json
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.files import cache_folder

if TYPE_CHECKING:
    from fer_mlops.config import DataConfig
    from fer_mlops.evaluation.repeats import Repeats
    from fer_mlops.models.calibration import OperatingPoint


@click.command(
    cls=Command,
    examples=(
        "fer-mlops evaluate --out evaluation",
        "fer-mlops evaluate --model models:/fer-classifier/2 --data other/ --robustness",
    ),
)
@model_option("Model to evaluate.")
@click.option(
    "--data",
    "sources",
    multiple=True,
    default=("auto",),
    help=f"Data to evaluate on (default: the model's test faces): {DATA_HELP} Repeatable.",
)
@click.option("--out", default="", metavar="FOLDER", help="Folder for report.html and report.json.")
@option(
    "--robustness",
    type=BOOL,
    is_flag=False,
    flag_value=True,
    default="auto",
    metavar="",
    help="Also evaluate on corrupted images, which about doubles the time.",
)
# the opposite of a former default
@option("--no-robustness", is_flag=True, hidden=True, expose_value=False)
@click.option("--experiment", default="fer_mlops", show_default=True, help="MLflow experiment.")
@with_json()
def evaluate(
    model: str, sources: tuple[str, ...], out: str, robustness: bool | None, experiment: str
) -> Result:
    """Evaluate a trained model and write a report.

    It is evaluated on its own test faces, or on the faces of --data.
    """
    from fer_mlops.cli.output.scores import print_evaluation
    from fer_mlops.cli.output.screen import print_ending, progress_bars, warn_of_drawn_faces
    from fer_mlops.data.table import as_argument
    from fer_mlops.files import write_text
    from fer_mlops.pipelines import api

    folder = _writable(out) if is_chosen(out) else None
    chosen = [source for source in sources if is_chosen(source)]
    with progress_bars() as progress:
        evaluation = api.evaluate(
            model, chosen, robustness=bool(robustness), experiment=experiment, progress=progress
        )
    warn_of_drawn_faces(model)
    if folder:
        write_text(folder / "report.json", evaluation.as_json())
        write_text(folder / "report.html", evaluation.page)

    def show() -> None:
        print_evaluation(evaluation)
        face = as_argument(evaluation.results[0].predictions.table, 0)
        explain = f"fer-mlops explain {face} --model {evaluation.model}"
        page = folder / "report.html" if folder else None
        print_ending(page, evaluation.experiment_id, explain, "fer-mlops compare")

    return Result(evaluation, show)


@click.command(
    cls=Command,
    examples=(
        "fer-mlops explain photos/ --measure",
        "fer-mlops explain face.jpg --target fear --method occlusion",
    ),
)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    type=MODEL,
    metavar="NAME",
    default=(CHAMPION_NAME,),
    show_default=True,
    help="Model to explain; give it twice to show two models side by side.",
)
@click.option(
    "--target", type=Choice(EMOTIONS), help="Explain this emotion (default: the predicted one)."
)
@click.option(
    "--method",
    type=Choice(["gradcam", "occlusion"]),
    help="Explanation method (default: chosen for the model).",
)
@click.option("--layer", metavar="NAME", help="Layer for Grad-CAM (default: chosen for the network).")
@click.option(
    "--measure",
    is_flag=True,
    help="Also measure the quality of the heat maps, on 48 faces (occlusion: 16).",
)
@click.option(
    "--out",
    default="explanations",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Output folder.",
)
@with_json()
def explain(images: tuple[Path, ...], models: tuple[str, ...], out: Path, **options: Any) -> Result:
    """Explain predictions with heat maps.

    IMAGES are files, folders, or 'sample'.
    """
    from fer_mlops.cli.output.scores import print_explanations
    from fer_mlops.cli.output.screen import progress_bars, warn_of_drawn_faces
    from fer_mlops.tracking.registry import load_classifier
    from fer_mlops.tracking.store import check_store

    check_store()
    from fer_mlops.data.image_files import find_images
    from fer_mlops.pipelines.explain import explain_images, numbers_of

    found = find_images(list(images), cache_folder())
    classifiers = [(name, load_classifier(name)) for name in models]
    for name in models:
        warn_of_drawn_faces(name)
    options["with_measures"] = options.pop("measure")
    with progress_bars() as progress:
        explained = explain_images(classifiers, found, out, progress=progress, **options)
    return Result(numbers_of(explained, found), lambda: print_explanations(explained, found, out))


@click.command(
    cls=Command,
    examples=(
        "fer-mlops compare",
        "fer-mlops compare --models models:/fer-classifier/1,models:/fer-classifier/2 --data other/",
    ),
)
@with_options(
    option("--runs", default="", section="Models", metavar="ID,ID…", help="Training runs to compare."),
    option(
        "--models",
        type=MODEL,
        default="",
        metavar="NAME,NAME…",
        help="Trained models to compare: registered models or folders.",
    ),
    option("--parent", default="", metavar="ID", help="Parent run whose children are compared."),
    option(
        "--data",
        default="auto",
        section="Data",
        metavar="PATH",
        help=f"Data to compare on (default: the shared test set): {DATA_HELP}",
    ),
    *READING,
    option(
        "--anyway",
        is_flag=True,
        help="Compare with a warning even if a model was trained on people in the faces.",
    ),
    option(
        "--point",
        type=Choice(["default", "natural", "balanced"]),
        default="default",
        show_default=True,
        section="Comparison",
        metavar="NAME",
        help="Operating point of all models: default, natural or balanced.",
    ),
    option("--out", default="", metavar="FOLDER", help="Folder for the HTML page and the JSON file."),
    option("--experiment", default="fer_mlops", show_default=True, help="MLflow experiment."),
)
@with_json()
def compare(
    runs: str,
    models: str,
    parent: str,
    point: OperatingPoint,
    out: str,
    anyway: bool,
    experiment: str,
    **reading: str,
) -> Result:
    """Compare trained models on the same faces.

    Name runs, models or a parent run; by default the latest run of each family is compared.
    """
    from fer_mlops.cli.output.scores import print_comparison
    from fer_mlops.cli.output.screen import print_ending, progress_bars
    from fer_mlops.pipelines import api
    from fer_mlops.tracking.store import check_store

    given = {"--runs": runs, "--models": models, "--parent": parent}
    named = [option for option, value in given.items() if is_chosen(value)]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} cannot be combined; give one")
    other = _other_data(reading)
    folder = _writable(out) if is_chosen(out) else None
    check_store(experiment)
    from fer_mlops.pipelines.candidates import repeats_of
    from fer_mlops.pipelines.compare import PAGE, write_files

    repeats = repeats_of(parent) if is_chosen(parent) else None
    if repeats:
        if other:
            raise ConfigError("--data has no effect on seeds or folds; each is tested on its own faces")
        return _of_repeats(repeats, experiment, folder)
    names = _names_of(runs, models, parent, experiment)
    with progress_bars() as progress:
        compared = api.compare(
            names, data=other, point=point, anyway=anyway, experiment=experiment, progress=progress
        )
    if folder:
        write_files(compared.files, folder)

    def show() -> None:
        print_comparison(compared.comparison)
        best = compared.comparison.best.uri
        page = folder / PAGE if folder else None
        print_ending(page, compared.experiment_id, f"fer-mlops evaluate --model {best} --out report")

    return Result(compared.comparison, show)


def _names_of(runs: str, models: str, parent: str, experiment: str) -> list[str]:
    """Returns the models that the options name; by default the latest run of each family."""
    from fer_mlops.pipelines.candidates import latest_runs
    from fer_mlops.tracking.queries import finished_children

    if is_chosen(models):
        return _words(models)
    if is_chosen(runs):
        ids = _words(runs)
    else:
        ids = finished_children(parent) if is_chosen(parent) else latest_runs(experiment)
    return [f"runs:/{run_id}" for run_id in ids]


def _words(listed: str) -> list[str]:
    return [word.strip() for word in listed.split(",") if word.strip()]


def _other_data(reading: Mapping[str, str]) -> DataConfig | None:
    """Returns the data that ``--data`` names, with the reading options applied."""
    from fer_mlops.config import DataConfig

    chosen: dict[str, Any] = {name: value for name, value in reading.items() if is_chosen(value)}
    if source := chosen.pop("data", None):
        return DataConfig(source=source, **chosen)
    if chosen:
        raise ConfigError(
            f"--{next(iter(chosen)).replace('_', '-')} needs --data; without it each model's test faces "
            "are read with the settings of its run"
        )
    return None


def _writable(out: str) -> Path:
    """Creates the folder and checks, before anything is computed, that it is writable."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise DataError(f"cannot write to {out!r}: {error.strerror}") from error
    return Path(out)


def _of_repeats(repeats: Repeats, experiment: str, folder: Path | None) -> Result:
    from fer_mlops.cli.output.screen import print_ending
    from fer_mlops.cli.output.training import print_repeats
    from fer_mlops.pipelines.compare import PAGE, log_parent, write_files
    from fer_mlops.tracking.runs import track

    name = f"compare {len(repeats.runs)} {repeats.kind} · {repeats.data.partition(',')[0]}"
    with track(experiment, name) as tracker:
        files = log_parent(repeats, tracker)
    if folder:
        write_files(files, folder)

    def show() -> None:
        print_repeats(repeats)
        print_ending(folder / PAGE if folder else None, tracker.experiment_id)

    return Result(repeats, show)
