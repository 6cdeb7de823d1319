"""Data check page: one self-contained HTML file without scripts; every text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fer_mlops.data.quality.findings import SEVERITIES, Cell, Example, Finding, Listing, Severity
from fer_mlops.data.quality.report import DataReport
from fer_mlops.metrics.identities import count
from fer_mlops.reporting import html
from fer_mlops.reporting.html import (
    Html,
    Mood,
    details,
    document,
    gallery,
    heading,
    paragraph,
    people_tile,
    section,
    shaded,
    table,
    text,
    tiles,
)
from fer_mlops.reporting.html.thumbnails import picture_uri

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
    worst: Mood = examination.findings[0].severity if examination.findings else "clean"
    clean = paragraph("No problems were found.", "clean")
    verdict = f"<b>What the scores will mean.</b> {text(examination.verdict)}"
    sections = [_findings(examination, severity) for severity in SEVERITIES]
    read = f"Split {examination.split}, seed {examination.seed}, data {examination.digest}"
    return document(
        "fer-mlops data check",
        examination.name,
        lead=Html(_tiles(examination) + paragraph(Html(verdict), "verdict")),
        body=[
            *(sections if any(sections) else [clean]),
            heading("Measured"),
            *map(_listing, examination.listings),
        ],
        foot=[*examination.facts, read],
        mood=worst,
    )


def _tiles(examination: DataReport) -> Html:
    shown: list[tuple[str, str, Mood]] = [
        (f"{examination.num_faces:,}", "face" if examination.num_faces == 1 else "faces", ""),
        people_tile(examination.num_people, examination.num_unnamed),
        (str(sum(n > 0 for n in examination.counts.values())), "emotions", ""),
    ]
    for severity in SEVERITIES:
        num = sum(finding.severity == severity for finding in examination.findings)
        name = severity if num == 1 else _HEADINGS[severity].lower()
        shown.append((str(num), name, severity if num else ""))
    return tiles(shown)


def _findings(examination: DataReport, severity: Severity) -> Html:
    found = [finding for finding in examination.findings if finding.severity == severity]
    if not found:
        return Html("")
    cards = "".join(_card(finding, examination.root) for finding in found)
    return Html(heading(_HEADINGS[severity], _ABOUT[severity]) + cards)


def _card(finding: Finding, root: Path) -> str:
    remedy = f"<dt>Do</dt><dd>{text(finding.remedy)}</dd>" if finding.remedy else ""
    most = _MOST_PICTURES if finding.kind == "label-errors" else _PICTURES
    return (
        f'<article class="{finding.severity}" id="{text(finding.kind)}">'
        f'<p class="kind">{text(finding.kind.replace("-", " "))}</p>'
        f"<h3>{text(finding.what[:1].upper() + finding.what[1:])}</h3>"
        f"<dl><dt>So</dt><dd>{text(finding.consequence)}</dd>{remedy}</dl>"
        f"{_gallery(finding.examples, root, most)}</article>"
    )


def _gallery(examples: Sequence[Example], root: Path, most: int) -> str:
    """Returns the first examples that are images, and a folded list of all names."""
    shown: list[tuple[str, str, str]] = []
    for example in examples[: 2 * most]:
        uri = picture_uri(root, example.image) if len(shown) < most else ""
        if uri:
            shown.append((uri, example.image, example.caption))
    if len(examples) <= len(shown):
        return gallery(shown)
    names = "".join(
        f"<li>{text(example.image)}{' – ' + text(example.caption) if example.caption else ''}</li>"
        for example in examples[:_MOST_NAMES]
    )
    rest = len(examples) - _MOST_NAMES
    more = f"<li>… and {rest:,} more, in the JSON</li>" if rest > 0 else ""
    return gallery(shown) + details(f"All {len(examples):,}", Html(f"<ul>{names}{more}</ul>"))


def _listing(listing: Listing) -> Html:
    chances = listing.chances or (-1.0,) * len(listing.columns)
    rows = [
        [_cell(cell, chance) for cell, chance in zip(row, chances, strict=True)] for row in listing.rows
    ]
    return section(listing.title, paragraph(listing.about), table(listing.columns, rows))


def _cell(cell: Cell, chance: float) -> html.Cell:
    if cell == -1:
        return None
    if isinstance(cell, str | int):
        return cell
    if chance < 0:
        return Html(f'<span class="bar"><i style="width:{cell:.0%}"></i></span> {cell:.0%}')
    above = max(cell - chance, 0) / (1 - chance)  # shade: 0 at chance, 1 at certainty
    return shaded(f"{cell:.2f}", above)


def summarise(examination: DataReport) -> str:
    """Returns the number of findings of each severity in one line."""
    numbers = {
        severity: sum(finding.severity == severity for finding in examination.findings)
        for severity in SEVERITIES
    }
    return ", ".join(count(num, severity) for severity, num in numbers.items())
