"""Printed tables of data sets, splits and data findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fer_mlops.cli.output.screen import console
from fer_mlops.emotions import EMOTIONS

if TYPE_CHECKING:
    from fer_mlops.data.datasets.base import DataSet
    from fer_mlops.data.quality.report import DataReport
    from fer_mlops.data.splits import Split
    from fer_mlops.data.table import FaceTable


def print_datasets(datasets: Sequence[DataSet]) -> None:
    """Prints the supported data sets with their sources and terms of use."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("data set", no_wrap=True)
    table.add_column("layout; where to get it; terms", overflow="fold")
    for dataset in datasets:
        table.add_row(dataset.name, f"{dataset.layout}\n{dataset.where}\n{dataset.terms}")
    console.print(table, soft_wrap=False)


def print_split(table: FaceTable, split: Split) -> None:
    """Prints the number of faces and people for each emotion and part."""
    from fer_mlops.data.quality.leakage import find_known_people
    from fer_mlops.data.table import count_or_unknown
    from fer_mlops.metrics.identities import count_people

    grid = Table(
        title=f"{split.kind} split of {len(table)} faces (people; ?: name nobody)",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    grid.add_column("part")
    for emotion in (*EMOTIONS, "all"):
        grid.add_column(emotion, justify="right")
    for part, rows in split.parts().items():
        cells = []
        for label in (*range(len(EMOTIONS)), None):
            chosen = rows if label is None else rows[table.labels[rows] == label]
            people, unnamed = count_people(table.identities[chosen])
            cells.append(f"{len(chosen)}\n({count_or_unknown(people, unnamed)})")
        grid.add_row(part, *cells)
    console.print(grid)
    console.print(find_known_people(table, split).sentence())


# columns that do not fit into 80 characters
_PAGE_ONLY = ("share of all", "largest person", "recall 80")
_LEGEND = (
    "effective: the test faces count as this many independent ones, as faces of one person are similar; "
    "recall 50: precision of a recall of 50%, in points\n"
)


def print_findings(examination: DataReport) -> None:
    """Prints the result of the data check: sizes, findings (worst first), verdict."""
    from fer_mlops.data.table import listed
    from fer_mlops.metrics.identities import describe_people
    from fer_mlops.reporting.data_quality_page import summarise

    people = describe_people(examination.num_faces, examination.num_people, examination.num_unnamed)
    title = f"{examination.name}: {people}"
    sizes = examination.listings[0]
    shown = [i for i, column in enumerate(sizes.columns) if column not in _PAGE_ONLY]
    table = Table(title=Text(title), box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i in shown:
        table.add_column(sizes.columns[i], justify="right" if i else "left", no_wrap=not i)
    for row in sizes.rows:
        table.add_row(*(str(row[i]) for i in shown))
    console.print(table, soft_wrap=False)
    console.print(Text(_LEGEND, "dim"), soft_wrap=False)
    styles = {"error": "bold red", "warning": "yellow", "note": "cyan"}
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in examination.findings:  # Text, because file names may look like markup
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
