"""Data check page: one self-contained HTML file without scripts; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_mlops.data.quality.findings import SEVERITIES, Cell, Example, Finding, Listing
from fer_mlops.data.quality.report import DataReport
from fer_mlops.metrics.identities import count
from fer_mlops.reporting import html
from fer_mlops.reporting.html import Picture, Tile, bar, people_tile, photo, render, shaded

_PICTURES, _MOST_PICTURES = 12, 24
"""Largest number of images shown for a finding, and for label errors, which need inspection."""
_MOST_NAMES = 200
_HEADINGS = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
_ABOUT = {
    "error": "Training does not start until these are fixed.",
    "warning": "Training runs, but its scores suffer.",
    "note": "Information, or handled while reading.",
}


def render_page(examination: DataReport) -> str:
    """Returns the data check's report as a self-contained HTML page."""
    read = f"Split {examination.split}, seed {examination.seed}, data {examination.digest}"
    found = examination.findings
    return render(
        "data_quality.html",
        command="fer-mlops data check",
        title=examination.name,
        mood=found[0].severity if found else "clean",
        numbers=_tiles(examination),
        verdict=examination.verdict,
        severities=[
            (
                _HEADINGS[severity],
                _ABOUT[severity],
                [_card(finding, examination.root) for finding in found if finding.severity == severity],
            )
            for severity in SEVERITIES
        ],
        listings=[(listing, _rows(listing)) for listing in examination.listings],
        facts=[*examination.facts, read],
    )


def _tiles(examination: DataReport) -> list[Tile]:
    shown: list[Tile] = [
        (f"{examination.num_faces:,}", "face" if examination.num_faces == 1 else "faces", ""),
        people_tile(examination.num_people, examination.num_unnamed),
        (str(sum(n > 0 for n in examination.counts.values())), "emotions", ""),
    ]
    for severity in SEVERITIES:
        num = sum(finding.severity == severity for finding in examination.findings)
        name = severity if num == 1 else _HEADINGS[severity].lower()
        shown.append((str(num), name, severity if num else ""))
    return shown


def _card(finding: Finding, root: Path) -> tuple[Finding, list[Picture], Sequence[Example], int]:
    """Returns a finding, its first examples that are images, and the names if there are more."""
    most = _MOST_PICTURES if finding.kind == "label-errors" else _PICTURES
    pictures: list[Picture] = []
    for example in finding.examples[: 2 * most]:
        picture = photo(root, example.image, example.caption) if len(pictures) < most else None
        if picture:
            pictures.append(picture)
    has_more = len(finding.examples) > len(pictures)
    names = finding.examples[:_MOST_NAMES] if has_more else ()
    return finding, pictures, names, len(finding.examples) - _MOST_NAMES


def _rows(listing: Listing) -> list[list[html.Cell]]:
    chances = listing.chances or (-1.0,) * len(listing.columns)
    return [
        [_cell(cell, chance) for cell, chance in zip(row, chances, strict=True)] for row in listing.rows
    ]


def _cell(cell: Cell, chance: float) -> html.Cell:
    if cell == -1:
        return None
    if isinstance(cell, str | int):
        return cell
    if chance < 0:
        return bar(cell)
    above = max(cell - chance, 0) / (1 - chance)  # shade: 0 at chance, 1 at certainty
    return shaded(f"{cell:.2f}", above)


def summarise(examination: DataReport) -> str:
    """Returns the number of findings of each severity in one line."""
    numbers = {
        severity: sum(finding.severity == severity for finding in examination.findings)
        for severity in SEVERITIES
    }
    return ", ".join(count(num, severity) for severity, num in numbers.items())
