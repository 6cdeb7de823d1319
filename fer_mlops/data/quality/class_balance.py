"""Findings on the number of faces per emotion, and the precision of a test on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from fer_mlops.config import DataConfig
from fer_mlops.data.quality.findings import Cell, Finding, Listing
from fer_mlops.data.splits import Rows, Split
from fer_mlops.data.table import FaceTable, count_or_unknown, listed
from fer_mlops.emotions import EMOTIONS
from fer_mlops.metrics.classification import FEW
from fer_mlops.metrics.identities import count_people, describe_people

LIKENESS = 0.1
"""Correlation, between two faces of one person with one emotion, of being predicted right: 0.08 over
pairs and 0.12 over people for HOG baselines on Muxspace."""
_UNEVEN = 10  # ratio of the most frequent to the rarest emotion from which accuracy is a poor measure
_Z = 1.96


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassSize:
    """Number of faces of one emotion; test counts are expected values if no split can be made."""

    emotion: str
    faces: int
    people: int
    """Number of named people."""
    unnamed: int
    """Number of faces without a named person."""
    largest: float
    """Largest share of the faces that one person has."""
    test_faces: int
    test_people: int
    test_unnamed: int
    effective: float
    """Effective sample size: number of independent faces with the same precision as the test faces."""

    @property
    def width(self) -> float:
        """Width of the interval around a recall of one half: the widest there is."""
        return interval_width(0.5, self.effective)


def class_sizes(table: FaceTable, config: DataConfig, split: Split | None) -> list[ClassSize]:
    """Returns the size of each emotion, in the order of EMOTIONS.

    Without a split that training could use, the test share of ``config`` gives expected test counts.
    """
    sizes = []
    for label, emotion in enumerate(EMOTIONS):
        rows = np.flatnonzero(table.labels == label)
        each = _faces_of_each(table, rows)
        people, unnamed = count_people(table.identities[rows])
        if split is None:
            shares = (round(n * config.test_share) for n in (len(rows), people, unnamed))
            test_faces, test_people, test_unnamed = shares
            tested_each = each * config.test_share
        else:
            test = np.intersect1d(rows, split.test, assume_unique=True)
            test_faces, tested_each = len(test), _faces_of_each(table, test)
            test_people, test_unnamed = count_people(table.identities[test])
        sizes.append(
            ClassSize(
                emotion=emotion,
                faces=len(rows),
                people=people,
                unnamed=unnamed,
                largest=float(each.max() / len(rows)) if len(rows) else 0.0,
                test_faces=test_faces,
                test_people=test_people,
                test_unnamed=test_unnamed,
                effective=test_faces / _design_effect(tested_each),
            )
        )
    return sizes


def _faces_of_each(table: FaceTable, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.unique(table.identities[rows], return_counts=True)[1].astype(np.float64)


def _design_effect(faces_of_each: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Returns the factor by which clusters of faces widen a variance."""
    # 1 + (m - 1) * LIKENESS for clusters of mean size m (Kish, Survey Sampling, 1965, section 5.4)
    total = faces_of_each.sum()
    mean = (faces_of_each**2).sum() / total if total else 1.0
    return float(1 + max(mean - 1, 0) * LIKENESS)


def interval_width(share: float, n: float) -> float:
    """Returns the width of Wilson's 95% interval around a share of ``n`` faces, 0 to 1."""
    # Wilson, JASA 22 (1927), 209: it stays within 0 and 1 however few the faces
    if n <= 0:
        return 1.0
    spread = sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
    return 2 * _Z * spread / (1 + _Z**2 / n)


def balance_findings(sizes: list[ClassSize]) -> list[Finding]:
    """Returns findings on emotions that are absent, too rare to be measured, or outnumbered."""
    present = [size for size in sizes if size.faces]
    findings = [*_few(present), *_uneven(present)]
    absent = [size.emotion for size in sizes if not size.faces]
    if absent:
        findings.append(
            Finding(
                kind="absent-emotion",
                severity="note",
                what=f"no face shows {', '.join(absent)}",
                consequence="a classifier trained on this data can never predict it",
                remedy="",
                num=len(absent),
            )
        )
    return findings


def _few(present: list[ClassSize]) -> Iterator[Finding]:
    few = [size for size in present if size.effective < FEW]
    if not few:
        return
    if len(few) == len(present):
        # half a width, in percentage points
        reach = sorted(50 * size.width for size in few)
        described = [f"every emotion (±{reach[0]:.0f} to ±{reach[-1]:.0f} points)"]
    else:
        described = [
            f"{size.emotion} (±{50 * size.width:.0f} points; test has "
            f"{describe_people(size.test_faces, size.test_people, size.test_unnamed)})"
            for size in few
        ]
    yield Finding(
        kind="few-faces",
        severity="warning",
        what=f"too few test faces to measure the recall of {listed(described)}",
        consequence=(
            f"fewer than {FEW} independent test faces each: their scores, and every mean over "
            "emotions, are mostly chance"
        ),
        remedy="collect more, from many people; or evaluate by cross-validation (--folds 5)",
        num=len(few),
    )


def _uneven(present: list[ClassSize]) -> Iterator[Finding]:
    most, least = (f(present, key=lambda size: size.faces) for f in (max, min))
    if most.faces < _UNEVEN * least.faces:
        return
    share = most.faces / sum(size.faces for size in present)
    yield Finding(
        kind="imbalance",
        severity="warning",
        what=(
            f"{most.emotion} has {most.faces / least.faces:.0f} times the faces of "
            f"{least.emotion}; always predicting {most.emotion} scores an accuracy of {share:.2f}"
        ),
        consequence="accuracy hides errors on the rare emotions",
        remedy="compare by macro-F1 and balanced accuracy",
        num=most.faces,
    )


def balance_listing(sizes: list[ClassSize]) -> Listing:
    """Returns the sizes as a table."""
    total = max(sum(size.faces for size in sizes), 1)
    rows: list[tuple[Cell, ...]] = [
        (
            size.emotion,
            size.faces,
            size.faces / total,
            count_or_unknown(size.people, size.unnamed),
            size.largest,
            size.test_faces,
            count_or_unknown(size.test_people, size.test_unnamed),
            round(size.effective),
            f"±{50 * size.width:.0f}",
            f"±{50 * interval_width(0.8, size.effective):.0f}",
        )
        for size in sizes
    ]
    return Listing(
        title="Faces of each emotion",
        about=(
            "Share of all: faces of the emotion among all faces. Largest person: share of the emotion's "
            "faces that show its commonest person. Effective faces: number of independent faces with "
            "the precision of the test faces, since faces of one person are similar (design effect, "
            f"correlation {LIKENESS}). The last columns are the precision in points of a recall of 50% "
            "and of 80% (95% interval)."
        ),
        columns=(
            "emotion",
            "faces",
            "share of all",
            "people",
            "largest person",
            "test faces",
            "test people",
            "effective",
            "recall 50",
            "recall 80",
        ),
        rows=tuple(rows),
    )
