"""What the command line shows: progress bars and tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from fer_mlops.comparison import Comparison
from fer_mlops.crossvalidation import CrossValidation
from fer_mlops.datasets import DataSet, FaceTable
from fer_mlops.doctor import Examination, listed, summarise
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation import FEW, Report
from fer_mlops.experiment import Trained
from fer_mlops.learning import Step
from fer_mlops.looking import PAGE, FaceImages, Look, judge_maps
from fer_mlops.progress import Advance, Begin
from fer_mlops.registry import REGISTERED_NAME, aliases_of
from fer_mlops.splits import Split, share_of_known_people
from fer_mlops.tracking import shown_uri, training_view

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Iterator[Begin]:
    """Shows one bar per stage while open; off a terminal, one line per finished stage."""
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )

    def begin(name: str, total: int) -> Advance:
        task = bars.add_task(name, total=total or None)  # 0: nobody knows
        if not console.is_terminal:
            console.print(f"{name} ({total})" if total else name)
        return lambda count: bars.update(task, advance=count)

    with bars:
        yield begin


def print_step(step: Step) -> None:
    """Prints one line on a step; a frozen phase's short epochs only now and then."""
    if not step.has_images:
        return
    shown = {
        "loss": step.metrics.get("train/loss"),
        "valid loss": step.metrics["valid/loss"],
        "valid accuracy": step.metrics["valid/accuracy"],
        "valid macro-F1": step.metrics["valid/macro_f1"],
    }
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
    console.print(f"step {step.number:3}  {numbers}")


def print_report(report: Report, title: str) -> None:
    """Prints a report as a table."""
    table = Table(title=f"{title}: {report.num_faces} faces of {report.num_people} people")
    table.add_column("emotion")
    for column in ("n", "precision", "recall", "F1", "95 % interval"):
        table.add_column(column, justify="right")
    for row in report.classes:
        if not row.support:
            table.add_row(row.emotion, "0", "–", "–", "–", "no face")
            continue
        few = " *" if row.support < FEW else ""
        interval = f"{row.f1.low:.2f} – {row.f1.high:.2f}{few}"
        scores = (f"{value:.3f}" for value in (row.precision, row.recall, row.f1.value))
        table.add_row(row.emotion, str(row.support), *scores, interval)
    console.print(table)
    if any(row.support < FEW for row in report.classes):
        console.print(f"* fewer than {FEW} faces: too few for a claim")
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        console.print(f"{name.replace('_', ' '):18} {getattr(report, name)}")
    console.print(f"{'calibration error':18} {report.ece:.3f}")


def print_trained(trained: Trained) -> None:
    """Prints what a run ended with and where to go from here."""
    if trained.test:
        print_report(trained.test, f"{trained.family}, test part")
        for name, report in trained.points.items():
            scores = f"accuracy {report.accuracy.value:.3f}  balanced accuracy "
            scores += f"{report.balanced_accuracy.value:.3f}  macro-F1 {report.macro_f1.value:.3f}"
            console.print(f"at the {name} point: {scores}")
    print_registration(trained)
    print_view(trained.experiment_id)
    if trained.registration:
        alias = aliases_of(trained.registration.version)
        name = (
            f"{REGISTERED_NAME}@{alias[0]}"
            if alias
            else f"{REGISTERED_NAME}/{trained.registration.version}"
        )
        load = f'mlflow.pyfunc.load_model("models:/{name}")'
        console.print(f"Load it:  python -c 'import mlflow; model = {load}'")


def print_folds(done: CrossValidation) -> None:
    """Prints the scores over folds: mean and spread, then all faces together."""
    for number, trained in enumerate(done.folds):
        assert trained.test
        scores = "  ".join(
            f"{n.replace('_', ' ')} {getattr(trained.test, n).value:.3f}" for n in done.spread
        )
        console.print(f"fold {number}  n {trained.test.num_faces}  {scores}")
    for name, (mean, deviation) in done.spread.items():
        console.print(f"{name.replace('_', ' '):18} {mean:.3f} ± {deviation:.3f} over folds")
    print_report(done.pooled, "all folds together")
    print_view(done.experiment_id)


def print_split(table: FaceTable, split: Split) -> None:
    """Prints how many faces and people of each emotion are in each part."""
    grid = Table(
        title=f"{split.kind} split of {len(table)} faces (people)", box=SIMPLE_HEAD, pad_edge=False
    )
    grid.add_column("part")
    for emotion in (*EMOTIONS, "all"):
        grid.add_column(emotion, justify="right")
    for part, rows in split.parts().items():
        cells = []
        for label in (*range(len(EMOTIONS)), None):
            chosen = rows if label is None else rows[table.labels[rows] == label]
            cells.append(f"{len(chosen)}\n({len(set(table.identities[chosen].tolist()))})")
        grid.add_row(part, *cells)
    console.print(grid)
    known = share_of_known_people(table, split)
    console.print(f"{known:.0%} of the test faces show a person who is also in train")


def print_registration(trained: Trained) -> None:
    """Prints the version a run registered, its aliases and why."""
    console.print(f"run {trained.run_id}, {trained.minutes:.1f} minutes")
    for name, value in trained.facts.items():
        console.print(f"{name.replace('_', ' ')}: {value}")
    if not trained.registration:
        return
    made = trained.registration
    aliases = ", ".join(aliases_of(made.version)) or "no alias"
    console.print(f"registered {REGISTERED_NAME} version {made.version} ({aliases}): {made.reason}")


def print_view(experiment_id: str) -> None:
    """Prints how to open the UI at the runs table of its training view."""
    uri = shown_uri()
    view = training_view(experiment_id)
    if uri.startswith("http"):
        console.print(f"See it:   {uri.rstrip('/')}{view}")
    else:
        console.print(f"See it:   fer-mlops ui   then http://127.0.0.1:5000{view}")


def print_comparison(comparison: Comparison) -> None:
    """Prints runs side by side, best first."""
    title = "test scores, best first, with the 95 % interval of macro-F1"
    table = Table(
        title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )  # narrow enough for 80 columns
    table.add_column("run", no_wrap=True)
    for column in ("n", "accuracy", "balanced", "macro-F1", "min"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in comparison.rows:
        accuracy, balanced, (f1, low, high) = row.scores.values()
        scores = (f"{accuracy[0]:.3f}", f"{balanced[0]:.3f}", f"{f1:.3f} [{low:.2f}, {high:.2f}]")
        table.add_row(row.name, str(row.num_faces), *scores, f"{row.minutes:.1f}")
    console.print(table)
    if comparison.warning:
        console.print(f"Warning: {comparison.warning}", style="bold red")


def print_datasets(datasets: Sequence[DataSet]) -> None:
    """Prints what data sets can be read, where to get each and what its publisher allows."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("data set", no_wrap=True)
    table.add_column("what --data names; where to get it; terms", overflow="fold")
    for dataset in datasets:
        table.add_row(dataset.name, f"{dataset.layout}\n{dataset.where}\n{dataset.terms}")
    console.print(table, soft_wrap=False)


_PAGE_ONLY = ("share", "one person's", "recall 80")
"""Columns for which 80 characters have no room."""


def print_findings(examination: Examination) -> None:
    """Prints what the doctor found: sizes, findings worst first, verdict."""
    title = f"{examination.name}: {examination.num_faces} faces of {examination.num_people} people"
    sizes = examination.listings[0]
    shown = [i for i, column in enumerate(sizes.columns) if column not in _PAGE_ONLY]
    table = Table(title=Text(title), box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i in shown:
        table.add_column(sizes.columns[i], justify="right" if i else "left", no_wrap=not i)
    for row in sizes.rows:
        table.add_row(*(str(row[i]) for i in shown))
    console.print(table, soft_wrap=False)
    styles = {"error": "bold red", "warning": "yellow", "note": "cyan"}
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in examination.findings:  # as Text, since a file's name may look like markup
        grid.add_row(Text(finding.severity, styles[finding.severity]), Text(finding.what))
        images = [example.image for example in finding.examples]
        if images and images[0] not in finding.what:
            grid.add_row("", Text(f"at: {listed(images)}", "dim"))
        if finding.severity != "note":
            grid.add_row("", Text(f"so: {finding.consequence}", "dim"))
        if finding.remedy:
            grid.add_row("", Text(f"do: {finding.remedy}", "dim"))
    console.print(grid, soft_wrap=False)
    numbers = summarise(examination) if examination.findings else "nothing found"
    console.print(Text(f"\n{numbers}. {examination.verdict}"), soft_wrap=False)


_MOST_ANSWERS = 20
"""Explained faces that the terminal lists."""


def print_looks(looks: Sequence[Look], images: FaceImages, out: Path) -> None:
    """Prints what models answered about the first faces, what their maps are worth, and the page."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    for one in looks:
        table.add_column(Text(one.name), no_wrap=True)
    for row, image in enumerate(images.paths[:_MOST_ANSWERS]):
        answers = [one.answer(row) for one in looks]
        table.add_row(Text(image.name), *(f"{emotion} {sure:.2f}" for emotion, sure in answers))
    console.print(table, soft_wrap=False)
    if len(images.paths) > _MOST_ANSWERS:
        console.print(f"… and {len(images.paths) - _MOST_ANSWERS:,} more, on the page")
    for one in looks:
        if one.report:
            console.print(Text(f"{one.name}: {judge_maps(one.report)[1]}"), soft_wrap=False)
            inside, even = one.report.inside, one.report.inside_uniform
            console.print(f"inside the face ellipse {inside:.2f}, an even map {even:.2f}")
    console.print(Text(f"See it:   {out / PAGE}"))
