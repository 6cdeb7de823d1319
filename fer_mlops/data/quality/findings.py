"""What an examination finds and measures, as plain values."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""Worst first. Training stops at an ``error``, a ``warning`` spoils numbers, a ``note`` was handled."""

Cell = str | int | float
"""Of a listing; a float is a share, 0 to 1, which the page draws as a bar. -1 stands for none."""


@dataclass(frozen=True, slots=True)
class Example:
    """One face, file or line that a finding is about."""

    image: str
    """Path relative to the data set's root, or any text where no image is to blame."""
    caption: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """A table of what was measured."""

    title: str
    about: str
    """What the numbers mean, in a sentence or two."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    chances: tuple[float, ...] = ()
    """What guessing scores in each column, where the shares are scores; else empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing to know before training."""

    kind: str
    """A fixed name, such as ``identical-files``."""
    severity: Severity
    what: str
    """A sentence with counts."""
    consequence: str
    """What it does to the numbers, unless mended."""
    remedy: str
    num: int
    """How many faces, files, lines or classes it is about."""
    examples: tuple[Example, ...] = ()


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Returns the findings by severity, in their own order where that is equal."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def is_at_least(severity: Severity, threshold: Severity) -> bool:
    """Returns whether a severity is as bad as ``threshold``, or worse."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(threshold)


def findings_as_json(findings: Sequence[Finding]) -> str:
    """Returns the findings as a JSON list."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1)


def listed(words: Sequence[str], most: int = 3) -> str:
    """Returns the first words in a row, and how many more there are."""
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
