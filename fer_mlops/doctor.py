"""FaceTable to findings: what is wrong with this data, and what it will do to the numbers."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_mlops.config import DataConfig
from fer_mlops.datasets.table import FaceTable, shorten
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import DataError
from fer_mlops.evaluation import FEW
from fer_mlops.images import Advance, gray_face, ignore_progress
from fer_mlops.splits import share_of_known_people, split_faces


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know before training."""

    severity: str
    """``note`` (was handled), ``warning`` (numbers suffer) or ``error`` (training stops)."""
    what: str
    """With counts."""
    consequence: str
    remedy: str


def examine(
    table: FaceTable, config: DataConfig, seed: int, advance: Advance = ignore_progress
) -> list[Finding]:
    """Returns what there is to say about the data, errors first.

    Args:
        table: The faces.
        config: The split they are meant for.
        seed: Of the split.
        advance: Told the number of files just read.
    """
    findings = [Finding("note", note, "handled while reading", "") for note in table.notes]
    findings += _files(table, advance)
    findings += _few_faces(table)
    findings += _leaks(table, config, seed)
    order = ("error", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _files(table: FaceTable, advance: Advance) -> list[Finding]:
    """Returns findings on unreadable files and on equal files under two names."""
    bad: list[str] = []
    by_content: dict[str, list[int]] = defaultdict(list)
    for row, path in enumerate(table.paths):
        file: Path = table.root / path
        try:
            content = file.read_bytes()
            gray_face(content, 16)
            by_content[hashlib.sha256(content).hexdigest()].append(row)
        except (DataError, OSError):
            bad.append(path)
        advance(1)
    findings = []
    if bad:
        findings.append(
            Finding(
                "error",
                f"{len(bad)} images cannot be read: {shorten(bad)}",
                "training stops at them",
                "mend or delete them, or train with --on-bad-image skip",
            )
        )
    groups = [rows for rows in by_content.values() if len(rows) > 1]
    disagreeing = [rows for rows in groups if len(set(table.labels[rows])) > 1]
    if groups:
        names = [table.paths[row] for rows in groups for row in rows]
        findings.append(
            Finding(
                "warning",
                f"{len(groups)} images stand under two or more names, {len(disagreeing)} of them with "
                f"different emotions: {shorten(names)}",
                "a face in train and test at once makes the score too good",
                "delete the copies",
            )
        )
    return findings


def _few_faces(table: FaceTable) -> list[Finding]:
    few = []
    for emotion, count in table.counts().items():
        if count * 0.2 < FEW:
            people = np.unique(table.identities[table.labels == EMOTIONS.index(emotion)])
            few.append(f"{emotion} {count} (of {len(people)} people)")
    if not few:
        return []
    return [
        Finding(
            "warning",
            f"too few faces for a claim about: {', '.join(few)}",
            f"a test split of 20 % has fewer than {FEW} of each; its scores are mostly chance",
            "collect more, from many people",
        )
    ]


def _leaks(table: FaceTable, config: DataConfig, seed: int) -> list[Finding]:
    """Returns findings on people who would be in train and test at once."""
    try:
        random = split_faces(table, replace(config, split="random"), seed)
    except DataError as error:
        return [Finding("error", str(error), "no split can be made", "")]
    known = share_of_known_people(table, random)
    findings = []
    if known > 0:
        findings.append(
            Finding(
                "warning",
                f"a random split has {known:.0%} of its test faces from people who are also in train",
                "scores on it say how well people are recognised, not expressions",
                "keep the default, --split identity",
            )
        )
    try:
        split_faces(table, replace(config, split="identity"), seed)
    except DataError as error:
        findings.append(Finding("error", str(error), "the identity split cannot be made", ""))
    return findings
