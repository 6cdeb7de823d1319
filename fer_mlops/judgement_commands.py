"""The commands on trained models: evaluate, explain, compare."""

from __future__ import annotations

from pathlib import Path

import click

from fer_mlops.cache import cache_folder
from fer_mlops.errors import ConfigError
from fer_mlops.options import DATA_HELP, is_chosen


@click.command()
@click.option("--model", default="models:/fer-classifier@champion", show_default=True)
@click.option(
    "--data",
    "sources",
    multiple=True,
    default=("auto",),
    help=f"What the model was trained on, or: {DATA_HELP} Repeatable.",
)
@click.option(
    "--out", default="", help="Folder for the page (report.html) and the numbers (report.json)."
)
@click.option(
    "--robustness/--no-robustness",
    default=True,
    show_default=True,
    help="Judge some of the faces made worse as well.",
)
@click.option("--experiment", default="fer_mlops", show_default=True)
def evaluate(model: str, sources: tuple[str, ...], out: str, robustness: bool, experiment: str) -> None:
    """Evaluate a trained model again: on its own test faces, or on other data."""
    from fer_mlops.console import print_judged, print_view, progress_bars
    from fer_mlops.judging import judge
    from fer_mlops.tracking import track
    from fer_mlops.writing import write_text

    chosen = [source for source in sources if is_chosen(source)]
    with progress_bars() as begin, track(experiment, "evaluate") as tracker:
        evaluation = judge(model, chosen, tracker, cache_folder(), begin, worsens=robustness)
    print_judged(evaluation)
    print_view(tracker.experiment_id)
    if is_chosen(out):
        write_text(Path(out) / "report.json", evaluation.as_json())
        write_text(Path(out) / "report.html", evaluation.page)
        click.echo(f"The page: {Path(out) / 'report.html'}")


@click.command()
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
