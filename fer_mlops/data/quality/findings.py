"""Findings and listings of the data check."""

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
"""Cell of a listing; a float is a share, 0 to 1, which the page draws as a bar. -1 means no value."""


@dataclass(frozen=True, slots=True)
class Example:
    """One face, file or line that a finding is about."""

    image: str
    """Path relative to the data set's root, or any text if the example is not an image."""
    caption: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Table of measurements."""

    title: str
    about: str
    """Explanation of the numbers, in a sentence or two."""
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    chances: tuple[float, ...] = ()
    """Score of guessing in each column, if the shares are scores; else empty."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One problem or fact to know before training."""

    kind: str
    """A fixed name, such as ``identical-files``."""
    severity: Severity
    what: str
    """A sentence with counts."""
    consequence: str
    """Effect on the scores."""
    remedy: str
    num: int
    """Number of faces, files, lines or classes affected."""
    examples: tuple[Example, ...] = ()


def worst_first(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Returns the findings sorted by severity; findings of equal severity keep their order."""
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))


def is_at_least(severity: Severity, threshold: Severity) -> bool:
    """Returns whether a severity is as bad as ``threshold``, or worse."""
    return SEVERITIES.index(severity) <= SEVERITIES.index(threshold)


def findings_as_json(findings: Sequence[Finding]) -> str:
    """Returns the findings as a JSON list."""
    return json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1)
