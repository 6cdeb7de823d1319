"""Crowds of made-up faces on disk, in which a test can plant one fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fer_mlops.data.quality.findings import Finding
from fer_mlops.data.quality.report import DataReport
from fer_mlops.data.table import FaceTable, Row, make_table
from fer_mlops.emotions import EMOTIONS

SIDE = 64
Draw = Callable[[int, np.random.Generator], Image.Image]


def noise(_: int, generator: np.random.Generator) -> Image.Image:
    """Draws what tells no emotion and is like no other."""
    return Image.fromarray(generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))


def bars(label: int, generator: np.random.Generator) -> Image.Image:
    """Draws a bright bar at a height that tells the emotion."""
    pixels = generator.integers(0, 120, (SIDE, SIDE), dtype=np.uint8)
    pixels[8 * label + 2 : 8 * label + 10, 8:56] += 130
    return Image.fromarray(pixels)


def crowd(
    folder: Path, num_people: int, *, each: int = 1, draw: Draw = noise, are_strangers: bool = False
) -> FaceTable:
    """Draws every person with every emotion ``each`` times; strangers are people seen once."""
    rows = []
    for person in range(num_people):
        for label, emotion in enumerate(EMOTIONS):
            for i in range(each):
                path = f"{person:03}-{emotion}-{i}.bmp"
                draw(label, np.random.default_rng(len(rows))).save(folder / path)
                rows.append(Row(path, emotion, path if are_strangers else f"p{person}", "drawn"))
    return make_table("tiny", folder, rows, [])


def kinds(findings: Sequence[Finding] | DataReport) -> list[str]:
    """Returns what kinds were found, in order."""
    found = findings.findings if isinstance(findings, DataReport) else findings
    return [finding.kind for finding in found]


def the(findings: Sequence[Finding] | DataReport, kind: str) -> Finding:
    """Returns the one finding of a kind."""
    found = findings.findings if isinstance(findings, DataReport) else findings
    (one,) = [finding for finding in found if finding.kind == kind]
    return one


def images(finding: Finding) -> list[str]:
    """Returns the examples' names."""
    return [example.image for example in finding.examples]
