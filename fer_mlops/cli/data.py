"""Commands ``fer-mlops data …``: check, split, list and download data sets.

Commands import heavy modules inside their functions, so that ``--help`` is fast.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fer_mlops.cli.commands import Choice, Command, Group, option, with_options
from fer_mlops.cli.options import MODEL, READING, SEED, SET, SPLIT, build, is_chosen
from fer_mlops.cli.result import Result, with_json
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.files import cache_folder, write_text

if TYPE_CHECKING:
    from fer_mlops.data.quality.findings import Severity
    from fer_mlops.data.quality.report import DataReport
    from fer_mlops.models.classifier import Classifier


@click.group(cls=Group)
def data() -> None:
    """Check, split, list and download data sets."""


_FILE = click.Path(path_type=Path, dir_okay=False)


class _CheckCommand(Command):
    """Command that still takes ``--json FILE.json``, which wrote a file before ``--json`` printed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [re.sub(r"^--json=", "--json-file=", word) for word in args]
        for at, (word, value) in enumerate(pairwise(words)):
            words[at] = "--json-file" if word == "--json" and value.endswith(".json") else word
        return super().parse_args(ctx, words)


@data.command(
    name="check",
    cls=_CheckCommand,
    examples=(
        "fer-mlops data check faces/ --out report.html",
        "fer-mlops data check faces/ --label-errors errors.csv",
    ),
)
@click.argument("source", metavar="DATA")
@with_options(
    option("--out", type=_FILE, section="Output", help="Write an HTML report with images to this file."),
    option("--json-file", type=_FILE, help="Write all findings as JSON to this file."),
    option("--label-errors", type=_FILE, help="Write doubtful labels as a CSV file for --relabel."),
    option("--track", is_flag=True, help="Also log the findings to an MLflow run."),
    SPLIT,
    SEED,
    *READING,
    SET,
    option(
        "--model",
        type=MODEL,
        metavar="NAME",
        default="",
        section="Check",
        help="Model that finds label errors (default: a quick baseline).",
    ),
    option(
        "--fail-on",
        type=Choice(["note", "warning", "error"]),
        default="error",
        show_default=True,
        help="Exit with status 1 at findings of this severity or worse.",
    ),
    option("--fast", is_flag=True, help="Check without reading the image files."),
)
@with_json(section="Output")
def check_data(
    source: str,
    out: Path | None,
    json_file: Path | None,
    label_errors: Path | None,
    model: str,
    fail_on: Severity,
    fast: bool,
    track: bool,
    **options: Any,
) -> Result:
    """Check DATA for problems.

    Each problem is shown with its effect on the scores and its remedy.
    """
    from fer_mlops.cli.output.data import print_findings
    from fer_mlops.cli.output.screen import print_next, print_view, progress_bars
    from fer_mlops.data.loading import load_table
    from fer_mlops.data.quality.findings import is_at_least
    from fer_mlops.data.quality.report import check_data, check_metadata
    from fer_mlops.reporting.data_quality_page import render_page

    if fast and (label_errors or is_chosen(model)):
        raise ConfigError("--fast finds no label errors; leave out --label-errors and --model")
    experiment = build("cnn", {"data": source, **options})  # any family would do for the data settings
    if track:
        from fer_mlops.tracking.store import check_store

        check_store(experiment.tracking.experiment)
    config, seed, cache = experiment.data, experiment.seed, cache_folder()
    classifier = _load(model) if is_chosen(model) else None
    if fast:
        table = load_table(config, cache, is_strict=False)
        examination = check_metadata(table, config, seed)
    else:
        with progress_bars() as progress:
            table = load_table(config, cache, progress, is_strict=False)
            examination = check_data(
                table, config, seed, cache, progress=progress, classifier=classifier
            )
    if track:
        experiment_id = _track(examination, experiment.tracking.experiment)
    texts = (
        (out, render_page(examination) if out else ""),
        (json_file, examination.as_json()),
        (label_errors, examination.label_errors),
    )
    written = [path for path, _ in texts if path]
    for path, text in texts:
        if path:
            write_text(path, text)

    def show() -> None:
        print_findings(examination)
        if track:
            print_view(experiment_id)
        for path in written:
            click.echo(f"written to {path}")
        print_next(_after(source, examination))

    failed = any(is_at_least(finding.severity, fail_on) for finding in examination.findings)
    return Result(examination, show, lambda: int(failed))


def _after(source: str, examination: DataReport) -> str:
    """Returns the command to run after the check."""
    where = shlex.quote(source)
    if any(finding.severity == "error" for finding in examination.findings):
        return f"correct the errors, then fer-mlops data check {where}"
    return f"fer-mlops {training_command(source, examination.num_faces)} --data {where}"


_FEW = 500  # faces from which a network learns more than the baseline


def training_command(source: str, num_faces: int) -> str:
    """Returns the words of the command to train with first."""
    if num_faces < _FEW:
        return "baseline"
    return "cnn --preset fast" if source == "sample" else "transfer --preset best"


def _track(examination: DataReport, experiment: str) -> str:
    """Logs the findings to a run; returns its experiment."""
    from fer_mlops.reporting.data_quality_page import render_page
    from fer_mlops.tracking.runs import track

    with track(experiment, f"check-{examination.name}") as tracker:
        tracker.log_facts({"data": examination.name, "verdict": examination.verdict})
        tracker.log_findings(examination.findings)
        tracker.log_text("data/report.html", render_page(examination))
        tracker.log_text("data/report.json", examination.as_json())
        tracker.log_text("data/label_errors.csv", examination.label_errors)
    return tracker.experiment_id


def _load(model: str) -> Classifier:
    from fer_mlops.tracking.registry import load_classifier

    return load_classifier(model)


@data.command(name="split", examples=("fer-mlops data split faces/ --out split.csv",))
@click.argument("source", metavar="DATA")
@with_options(
    option("--out", required=True, type=click.Path(path_type=Path), help="CSV file to write."),
    SPLIT,
    SEED,
    *READING,
    SET,
)
@with_json()
def write_split(source: str, out: Path, **options: Any) -> Result:
    """Write a split of DATA to a CSV file.

    Share the file, or train with --split FILE.
    """
    from fer_mlops.cli.output.data import print_split
    from fer_mlops.cli.output.screen import print_next, progress_bars
    from fer_mlops.data.loading import divide_faces, load_table

    experiment = build("cnn", {"data": source, **options})
    with progress_bars() as progress:
        table = load_table(experiment.data, cache_folder(), progress)
        split = divide_faces(table, experiment.data, experiment.seed, cache_folder(), progress)
    write_text(out, split.as_csv(table))
    parts = {part: table.select(rows).counts() for part, rows in split.parts().items()}

    def show() -> None:
        print_split(table, split)
        click.echo(f"written to {out}; use it with --split {out}")
        words = f"--data {shlex.quote(source)} --split {shlex.quote(str(out))}"
        print_next(f"fer-mlops {training_command(source, len(table))} {words}")

    return Result({"out": out, "split": split.kind, "parts": parts}, show)


@data.command(name="list", examples=("fer-mlops data list", "fer-mlops data list --json"))
@with_json()
def list_datasets() -> Result:
    """List the supported data sets, with sources and terms."""
    from fer_mlops.cli.output.data import print_datasets
    from fer_mlops.cli.output.screen import print_next
    from fer_mlops.data.datasets import DATASETS

    def show() -> None:
        print_datasets(list(DATASETS.values()))
        click.echo("Use one with --data PATH; --data NAME:PATH names the data set explicitly.")
        print_next("fer-mlops data check PATH")

    return Result(list(DATASETS.values()), show)


@data.command(name="download", examples=("fer-mlops data download muxspace --to faces",))
@click.argument("name")
@click.option("--to", type=click.Path(path_type=Path), help="Folder to create.  [default: data/NAME]")
@with_json()
def download_dataset(name: str, to: Path | None) -> Result:
    """Download data set NAME.

    Run the command again to resume an interrupted download.
    """
    from fer_mlops.cli.output.screen import progress_bars
    from fer_mlops.data.datasets import DATASETS
    from fer_mlops.data.datasets.download import ARCHIVES, download

    if name not in ARCHIVES:
        known = f"; get {name} yourself: {DATASETS[name].where}" if name in DATASETS else ""
        raise DataError(f"cannot download {name!r}, only {', '.join(ARCHIVES)}{known}")
    with progress_bars() as progress:
        folder = download(ARCHIVES[name], to or Path("data") / name, progress)
    terms = DATASETS[name].terms

    def show() -> None:
        click.echo(f"{terms}\nDownloaded to {folder}; check it with: fer-mlops data check {folder}")

    return Result({"name": name, "folder": folder, "terms": terms}, show)
