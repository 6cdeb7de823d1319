"""The commands on trained models: evaluate, explain, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fer_mlops.cache import cache_folder
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError
from fer_mlops.options import DATA_HELP, is_chosen


@click.command()
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


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("models:/fer-classifier@champion",),
    show_default=True,
    help="Given twice, both look at the same faces, side by side.",
)
@click.option("--target", type=click.Choice(EMOTIONS), help="Explain this emotion, not the answer.")
@click.option("--method", type=click.Choice(["gradcam", "occlusion"]), help="If not the model's own.")
@click.option("--layer", metavar="NAME", help="What Grad-CAM weighs, if not the network's own choice.")
@click.option(
    "--measure", is_flag=True, help="Measure what the maps are worth, on 48 faces (occlusion: 16)."
)
@click.option("--out", default="explanations", show_default=True, type=click.Path(path_type=Path))
def explain(images: tuple[Path, ...], models: tuple[str, ...], out: Path, **options: Any) -> None:
    """Show where a model looks on IMAGES: files, folders, or 'sample'."""
    from fer_mlops.console import print_looks, progress_bars
    from fer_mlops.looking import explain_images, find_images
    from fer_mlops.registry import load_classifier
    from fer_mlops.tracking import check_server

    found = find_images(list(images), cache_folder())
    check_server()
    classifiers = [(name, load_classifier(name, for_gradients=True)) for name in models]
    options["measures"] = options.pop("measure")
    with progress_bars() as begin:
        looks = explain_images(classifiers, found, out, begin=begin, **options)
    print_looks(looks, found, out)


@click.command()
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
