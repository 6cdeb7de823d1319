"""Printed evaluation reports, comparisons and explanations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fer_mlops.cli.output.screen import console, print_next

if TYPE_CHECKING:
    from fer_mlops.data.image_files import FaceImages
    from fer_mlops.evaluation.comparison import Comparison, PairedResult
    from fer_mlops.evaluation.explained_faces import ExplainedFaces
    from fer_mlops.evaluation.report import Report
    from fer_mlops.pipelines.evaluate import Evaluation


def print_report(report: Report, title: str) -> None:
    """Prints a report as a table."""
    from fer_mlops.metrics.classification import FEW

    table = Table(title=f"{title}: {report.people()}")
    table.add_column("emotion")
    for column in ("n", "precision", "recall", "F1", "95% interval"):
        table.add_column(column, justify="right")
    for row in report.classes:
        if not row.support:
            table.add_row(row.emotion, "0", "–", "–", "–", "no face")
            continue
        few = " *" if row.support < FEW else ""
        # nan, which is not equal to itself: too few faces for an interval
        interval = f"{row.f1.low:.2f} – {row.f1.high:.2f}" if row.f1.low == row.f1.low else "–"
        scores = (f"{value:.3f}" for value in (row.precision, row.recall, row.f1.value))
        table.add_row(row.emotion, str(row.support), *scores, interval + few)
    console.print(table)
    if any(row.support < FEW for row in report.classes):
        console.print(f"* fewer than {FEW} faces: too few for a claim")
    for name in ("accuracy", "balanced_accuracy", "macro_f1"):
        console.print(f"{name.replace('_', ' '):18} {getattr(report, name)}")
    console.print(f"{'calibration error':18} {report.ece}")
    share = report.commonest.support / report.num_faces
    console.print(f"Always predicting {report.commonest.emotion} has an accuracy of {share:.3f}.")
    if found := report.no_gain():
        console.print(f"Warning: the model {found}: train longer, or on more faces", style="bold red")
    console.print(report.units.description)


def print_evaluation(evaluation: Evaluation) -> None:
    """Prints a model's evaluation, one data set after another."""
    for result in evaluation.results:
        print_report(result.report, f"{evaluation.model} on {result.faces}")
        print_operating_points({str(p): r for p, r in result.reports.items() if p != "default"})
        worst = result.slices.worst
        if worst and worst.gap.value < 0:
            found = "more than chance" if worst.is_significant else "may be chance"
            found = worst.why_no_p or f"{found}, p {worst.adjusted_p:.3f}"
            console.print(
                f"worst slice: {worst.trait} {worst.value}, {-worst.gap.value:.3f} below other faces at "
                f"equal emotions ({found})"
            )
        if result.robustness:
            console.print(
                f"corrupted images: balanced accuracy {result.robustness.clean:.3f} falls to "
                f"{result.robustness.mean:.3f} on average ({result.robustness.num_faces} faces)"
            )
    for warning in evaluation.warnings:
        console.print(f"Warning: {warning}", style="bold red")


def print_operating_points(reports: Mapping[str, Report]) -> None:
    """Prints one line per operating point, after their meaning."""
    if reports:
        console.print(
            "Operating points assume emotions as frequent as in training (natural), or equally frequent "
            "(balanced):"
        )
    for name, report in reports.items():
        scores = f"accuracy {report.accuracy.value:.3f}  balanced accuracy "
        scores += f"{report.balanced_accuracy.value:.3f}  macro-F1 {report.macro_f1.value:.3f}"
        console.print(f"at the {name} point: {scores}")


def print_comparison(comparison: Comparison) -> None:
    """Prints the models in one table, best first, within 80 columns; then the best one's lead."""
    from fer_mlops.reporting.comparison_text import answers_of

    for said in comparison.warnings:
        console.print(Text(f"Warning: {said}", "bold red"), soft_wrap=False)
    console.print(f"{comparison.faces}: {comparison.people()}, {comparison.operating_point} point")
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


def _print_match(comparison: Comparison, match: PairedResult) -> None:
    """Prints the differences between the best and another model, overall and per emotion."""
    from fer_mlops.evaluation.report import SCORES
    from fer_mlops.metrics.classification import FEW
    from fer_mlops.reporting.comparison_text import p_value, percent

    best, other = comparison.best.name, comparison.entries[match.other].name
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(f"{best} less {other}", overflow="fold", max_width=30)
    for column in ("difference", "95% interval", "better in"):
        table.add_column(column, justify="right", no_wrap=True)
    for score in reversed(SCORES):
        gap = getattr(match.pairing, score)
        table.add_row(
            score.replace("_", " ").replace("f1", "F1"),
            f"{gap.value:+.3f}",
            Text(gap.interval),
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


_MOST_EXPLAINED = 20  # most explained faces to print


def print_explanations(explained: Sequence[ExplainedFaces], images: FaceImages, out: Path) -> None:
    """Prints predictions for the first faces, the quality of the heat maps, and the page's path."""
    from fer_mlops.evaluation.attribution.report import maps_are_trustworthy
    from fer_mlops.pipelines.explain import PAGE

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("image", overflow="fold")
    for model in explained:
        table.add_column(Text(model.name), no_wrap=True)
    for row, image in enumerate(images.paths[:_MOST_EXPLAINED]):
        predictions = [model.prediction(row) for model in explained]
        table.add_row(Text(image.name), *(f"{emotion} {sure:.2f}" for emotion, sure in predictions))
    console.print(table, soft_wrap=False)
    if len(images.paths) > _MOST_EXPLAINED:
        console.print(f"… and {len(images.paths) - _MOST_EXPLAINED:,} more, on the page")
    for model in explained:
        if model.report:
            console.print(
                Text(f"{model.name}: {maps_are_trustworthy(model.report)[1]}"), soft_wrap=False
            )
            inside, even = model.report.inside, model.report.inside_uniform
            console.print(f"inside the face ellipse {inside:.2f}, an even map {even:.2f}")
    console.print(Text(f"See it:   {out / PAGE}"))
    if not any(one.report for one in explained):
        print_next("the same command with --measure tells whether the maps can be believed")
