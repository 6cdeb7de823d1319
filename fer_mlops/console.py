"""What the command line shows: progress bars and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markdown import Markdown
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

from fer_mlops.attribution import judge_maps
from fer_mlops.comparison import Comparison, Match, answers_of, p_value, percent
from fer_mlops.datasets import DataSet, FaceTable
from fer_mlops.doctor import Examination, listed, summarise
from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation import FEW, Report
from fer_mlops.experiment import Trained
from fer_mlops.judging import Evaluation
from fer_mlops.learning import Step
from fer_mlops.looking import PAGE, FaceImages, Look
from fer_mlops.progress import Advance, Begin
from fer_mlops.promotion import Decision, Version
from fer_mlops.registry import REGISTERED_NAME, aliases_of
from fer_mlops.repetition import POINTS, SCORES, Repeats, Repetition
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
    console.print(f"{'calibration error':18} {report.ece}")


def print_judged(evaluation: Evaluation) -> None:
    """Prints what a model was found to be worth, data set by data set."""
    for judged in evaluation.judgements:
        print_report(judged.report, f"{evaluation.model} on {judged.faces}")
        _print_points({str(p): r for p, r in judged.reports.items() if p != "default"})
        worst = judged.slices.worst
        if worst and worst.gap.value < 0:
            found = "more than chance" if worst.is_significant else "chance may do that"
            console.print(
                f"worst slice: {worst.trait} {worst.value}, {-worst.gap.value:.3f} below other faces at "
                f"equal emotions ({found}, p {worst.adjusted_p:.3f})"
            )
        if judged.robustness:
            console.print(
                f"worse faces: balanced accuracy {judged.robustness.clean:.3f} falls to "
                f"{judged.robustness.mean:.3f} on average ({judged.robustness.num_faces} faces)"
            )
    for warning in evaluation.warnings:
        console.print(f"Warning: {warning}", style="bold red")


def _print_points(points: Mapping[str, Report]) -> None:
    for name, report in points.items():
        scores = f"accuracy {report.accuracy.value:.3f}  balanced accuracy "
        scores += f"{report.balanced_accuracy.value:.3f}  macro-F1 {report.macro_f1.value:.3f}"
        console.print(f"at the {name} point: {scores}")


def print_trained(trained: Trained) -> None:
    """Prints what a run ended with and where to go from here."""
    if trained.test:
        print_report(trained.test, f"{trained.family}, test part")
        _print_points(trained.points)
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


def print_repetition(done: Repetition) -> None:
    """Prints what training on every fold, or with several seeds, ended with."""
    print_repeats(done.repeats)
    if done.pooled:
        print_report(done.pooled, "all folds together")
    print_view(done.experiment_id)


def print_repeats(repeats: Repeats) -> None:
    """Prints the scores run by run, then mean, spread and 95 % interval at each operating point."""
    for run in repeats.runs:
        own = run.scores["default"]
        scores = "  ".join(f"{name.replace('_', ' ')} {own[name]:.3f}" for name in SCORES)
        console.print(f"{run.name}  n {run.num_faces}  {scores}")
    for point in POINTS:
        console.print(f"{point} point, mean ± standard deviation [95 % interval of the mean]:")
        for score in SCORES:
            console.print(f"  {score.replace('_', ' '):18} {repeats.spread(score, point)}")


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


def print_decision(decision: Decision) -> None:
    """Prints the gate's rules, what was found, and what became of the version."""
    against = f"version {decision.champion}" if decision.champion else "no champion"
    table = Table(
        title=f"version {decision.version} against {against}: {decision.faces}", box=SIMPLE_HEAD
    )
    for column in ("", "rule", "found", "asked"):
        table.add_column(column, overflow="fold")
    for check in decision.checks:
        mark = Text("kept", "green") if check.is_kept else Text("broken", "bold red")
        table.add_row(mark, Text(check.rule), Text(check.found), Text(check.asked))
    console.print(table, soft_wrap=False)
    for warning in decision.warnings:
        console.print(f"Warning: {warning}", style="bold red")
    now = "is champion now" if decision.is_promoted else "stays challenger"
    console.print(f"version {decision.version} {now}")


def print_versions(versions: Sequence[Version]) -> None:
    """Prints all registered versions, newest first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("version", "alias", "family", "data", "split", "valid F1", "test F1", "n"):
        table.add_column(column, overflow="fold")
    for one in versions:
        scores = (one.valid_macro_f1[:5], one.test_macro_f1[:5], one.test_n)
        names = (", ".join(one.aliases), one.family, one.data, one.split)
        table.add_row(str(one.number), *map(Text, names), *scores)
    console.print(table, soft_wrap=False)


def print_card(version: Version) -> None:
    """Prints a version's card and the gate's last word on it."""
    console.print(Markdown(version.card or f"# {REGISTERED_NAME}/{version.number}\n\nNo card."))
    console.print(Text(f"aliases: {', '.join(version.aliases) or 'none'}; {version.decision}"))


def print_differences(one: Version, other: Version, found: Sequence[tuple[str, str, str]]) -> None:
    """Prints in what two versions differ."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", f"version {one.number}", f"version {other.number}"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(*map(Text, row))
    console.print(table, soft_wrap=False)


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
    """Prints models side by side, best first, in 80 columns; then by how much the best leads."""
    for said in comparison.warnings:
        console.print(Text(f"Warning: {said}", "bold red"), soft_wrap=False)
    faces = f"{comparison.faces}: {comparison.num_faces} faces of {comparison.num_people} people"
    console.print(f"{faces}, {comparison.point} point")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("model", no_wrap=True, overflow="ellipsis", max_width=20)
    for column in ("accuracy", "balanced", "macro-F1", "ms", "faces/s", "MB", "min"):
        table.add_column(column, justify="right", no_wrap=True)
    for entry in comparison.entries:
        f1 = entry.scores["macro_f1"]
        table.add_row(
            entry.name,
            f"{entry.scores['accuracy'].value:.3f}",
            f"{entry.scores['balanced_accuracy'].value:.3f}",
            f"{f1.value:.3f}",
            f"{entry.speed.milliseconds:.1f}",
            f"{entry.speed.faces_per_second:.0f}",
            f"{entry.num_bytes / 1e6:.1f}",
            f"{entry.minutes:.1f}" if entry.minutes == entry.minutes else "–",
        )
    console.print(table, soft_wrap=False)
    for match in comparison.matches:
        _print_match(comparison, match)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for question, said in answers_of(comparison).items():
        grid.add_row(Text(question.lower(), "bold"), Text(said))
    console.print(grid, soft_wrap=False)


def _print_match(comparison: Comparison, match: Match) -> None:
    """Prints the differences of the best and another model, and the emotions each wins."""
    best, other = comparison.best.name, comparison.entries[match.other].name
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(f"{best} less {other}", overflow="fold", max_width=30)
    for column in ("difference", "95 % interval", "better in"):
        table.add_column(column, justify="right", no_wrap=True)
    for score in reversed(SCORES):
        gap = getattr(match.pairing, score)
        shown = f"[{gap.low:+.3f}, {gap.high:+.3f}]"
        table.add_row(
            score.replace("_", " ").replace("f1", "F1"),
            f"{gap.value:+.3f}",
            Text(shown),
            percent(gap.probability),
        )
    console.print(table, soft_wrap=False)
    wins = [
        f"{row.emotion} {row.only_a}:{row.only_b}{' *' if row.support < FEW else ''}"
        for row in match.pairing.classes
        if row.support
    ]
    only, p = match.pairing.mcnemar, p_value(match.p_accuracy)
    said = f"right alone on {only.only_a}:{only.only_b} faces (McNemar {p}): {', '.join(wins)}"
    console.print(Text(said), soft_wrap=False)
    console.print()


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
