"""An examination as one HTML file: nothing is fetched, nothing runs, every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from fer_mlops import __version__
from fer_mlops.doctor.examination import Examination
from fer_mlops.doctor.findings import SEVERITIES, Cell, Example, Finding, Listing, count
from fer_mlops.doctor.pictures import picture_uri
from fer_mlops.doctor.style import STYLE

_PICTURES, _MOST_PICTURES = 12, 24
"""Of a finding; of label errors, which one looks at."""
_MOST_NAMES = 200
_HEADINGS = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
_ABOUT = {
    "error": "Training stops until these are mended.",
    "warning": "Training runs; its numbers suffer.",
    "note": "Good to know, or handled while reading.",
}


def render_page(examination: Examination) -> str:
    """Returns the examination as HTML that a browser shows by itself, by day, by night and on paper."""
    worst = examination.findings[0].severity if examination.findings else "clean"
    sections = [_findings(examination, severity) for severity in SEVERITIES]
    measured = "".join(map(_listing, examination.listings))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Data check: {_text(examination.name)}</title>
<style>{STYLE}</style>
</head>
<body>
<header class="{worst}">
<p class="over">fer-mlops data check</p>
<h1>{_text(examination.name)}</h1>
{_tiles(examination)}
<p class="verdict"><b>What the numbers will be worth.</b> {_text(examination.verdict)}</p>
</header>
<main>
{"".join(sections) or '<p class="clean">Nothing was found that would spoil the numbers.</p>'}
<h2>Measured</h2>
{measured}
</main>
<footer>
{_facts(examination)}
<p>fer_mlops {__version__}, split {_text(examination.split)}, seed {examination.seed}, data
<code>{examination.digest}</code>. This file holds faces out of the data: share it as you would
the data.</p>
</footer>
</body>
</html>
"""


def _text(text: object) -> str:
    """Returns any text as HTML; bytes of a file name that are no UTF-8 become question marks."""
    return html.escape(str(text).encode("utf-8", "replace").decode())


def _tiles(examination: Examination) -> str:
    tiles = [
        (f"{examination.num_faces:,}", "face" if examination.num_faces == 1 else "faces", ""),
        (f"{examination.num_people:,}", "person" if examination.num_people == 1 else "people", ""),
        (str(sum(n > 0 for n in examination.counts.values())), "emotions", ""),
    ]
    for severity in SEVERITIES:
        num = sum(finding.severity == severity for finding in examination.findings)
        name = severity if num == 1 else _HEADINGS[severity].lower()
        tiles.append((str(num), name, severity if num else ""))
    shown = (f'<li class="{kind}"><b>{num}</b> {name}</li>' for num, name, kind in tiles)
    return f'<ul class="tiles">{"".join(shown)}</ul>'


def _facts(examination: Examination) -> str:
    if not examination.facts:
        return ""
    return "<ul>" + "".join(f"<li>{_text(fact)}</li>" for fact in examination.facts) + "</ul>"


def _findings(examination: Examination, severity: str) -> str:
    found = [finding for finding in examination.findings if finding.severity == severity]
    if not found:
        return ""
    cards = "".join(_card(finding, examination.root) for finding in found)
    return f"<h2>{_HEADINGS[severity]} <small>{_ABOUT[severity]}</small></h2>{cards}"


def _card(finding: Finding, root: Path) -> str:
    remedy = f"<dt>Do</dt><dd>{_text(finding.remedy)}</dd>" if finding.remedy else ""
    most = _MOST_PICTURES if finding.kind == "label-errors" else _PICTURES
    return (
        f'<article class="{finding.severity}" id="{_text(finding.kind)}">'
        f'<p class="kind">{_text(finding.kind.replace("-", " "))}</p>'
        f"<h3>{_text(finding.what[:1].upper() + finding.what[1:])}</h3>"
        f"<dl><dt>So</dt><dd>{_text(finding.consequence)}</dd>{remedy}</dl>"
        f"{_gallery(finding.examples, root, most)}</article>"
    )


def _gallery(examples: Sequence[Example], root: Path, most: int) -> str:
    """Returns the first examples that are pictures, and a list of all names to unfold."""
    figures: list[str] = []
    for example in examples[: 2 * most]:
        uri = picture_uri(root, example.image) if len(figures) < most else ""
        if uri:
            figures.append(_figure(example, uri))
    shown = f'<div class="gallery">{"".join(figures)}</div>' if figures else ""
    if len(examples) <= len(figures):
        return shown
    names = "".join(
        f"<li>{_text(example.image)}{' – ' + _text(example.caption) if example.caption else ''}</li>"
        for example in examples[:_MOST_NAMES]
    )
    rest = len(examples) - _MOST_NAMES
    more = f"<li>… and {rest:,} more, in the JSON</li>" if rest > 0 else ""
    return f"{shown}<details><summary>All {len(examples):,}</summary><ul>{names}{more}</ul></details>"


def _figure(example: Example, uri: str) -> str:
    name = PurePosixPath(example.image).name
    return (
        f'<figure><img src="{uri}" alt="" loading="lazy"><figcaption><b>{_text(example.caption)}</b>'
        f'<span title="{_text(example.image)}">{_text(name)}</span></figcaption></figure>'
    )


def _listing(listing: Listing) -> str:
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in listing.columns)
    chances = listing.chances or (-1.0,) * len(listing.columns)
    rows = "".join(
        "<tr>"
        + "".join(_cell(cell, chance) for cell, chance in zip(row, chances, strict=True))
        + "</tr>"
        for row in listing.rows
    )
    return (
        f"<section><h3>{_text(listing.title)}</h3><p>{_text(listing.about)}</p>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        "</section>"
    )


def _cell(cell: Cell, chance: float) -> str:
    if isinstance(cell, str):
        return f"<td>{_text(cell)}</td>"
    if cell == -1:
        return '<td class="number">–</td>'
    if isinstance(cell, int):
        return f'<td class="number">{cell:,}</td>'
    if chance < 0:
        bar = f'<span class="bar"><i style="width:{cell:.0%}"></i></span>'
        return f'<td class="number">{bar} {cell:.0%}</td>'
    above = max(cell - chance, 0) / (1 - chance)  # shaded by how far it is from guessing to certainty
    return f'<td class="number score" style="--shade:{above:.2f}">{cell:.2f}</td>'


def summarise(examination: Examination) -> str:
    """Returns one line: how many findings of each severity."""
    numbers = {
        severity: sum(finding.severity == severity for finding in examination.findings)
        for severity in SEVERITIES
    }
    return ", ".join(count(num, severity) for severity, num in numbers.items())
