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

from fer_mlops.comparison import Comparison
from fer_mlops.doctor import Finding
from fer_mlops.evaluation import FEW, Report
from fer_mlops.experiment import Trained
from fer_mlops.images import Advance
from fer_mlops.learning import Begin, Step
from fer_mlops.registry import REGISTERED_NAME, aliases_of
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
        task = bars.add_task(name, total=total)
        if not console.is_terminal:
            console.print(f"{name} ({total})")
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


def print_findings(findings: Sequence[Finding]) -> None:
    """Prints findings, worst first."""
    styles = {"error": "bold red", "warning": "yellow", "note": "dim"}
    for finding in findings:
        console.print(f"{finding.severity}: ", style=styles[finding.severity], end="")
        console.print(finding.what)
        if finding.severity != "note":
            console.print(f"  so: {finding.consequence}")
        if finding.remedy:
            console.print(f"  do: {finding.remedy}")


def print_answers(answers: Sequence[tuple[Path, str, float]]) -> None:
    """Prints one line per explained image."""
    for file, emotion, confidence in answers:
        console.print(f"{emotion:10} {confidence:.2f}  {file}")
