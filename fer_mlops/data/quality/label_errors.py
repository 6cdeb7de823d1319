"""Probable label errors: confident learning (Northcutt, Jiang and Chuang, arXiv 1911.00068)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.quality.findings import Cell, Example, Finding, Listing
from fer_mlops.data.table import FaceTable
from fer_mlops.emotions import EMOTIONS
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.calibration import Probabilities
from fer_mlops.metrics.classification import Labels, confusion_counts
from fer_mlops.metrics.identities import count
from fer_mlops.models.classifier import Classifier
from fer_mlops.progress import Advance, ignore_progress

_CHUNK = 2048
_FEWEST = 10  # faces of an emotion below which it is never suggested: its threshold would be noise
# Kappa (Cohen, 1960) with the labels from which a classifier is used; below it agreement is slight
_AGREES = 0.2
_STRONG = 0.05  # probability of the given label below which it is strongly doubted
_MANY = 0.01  # share of strongly doubted labels from which scores suffer


@dataclass(frozen=True, slots=True)
class LabelError:
    """One face whose label is probably wrong."""

    row: int
    given: int
    suggested: int
    probability_given: float
    probability_suggested: float

    @property
    def is_strong(self) -> bool:
        """Whether the label is likely wrong, rather than to be reviewed."""
        return self.probability_given < _STRONG


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """Result of confident learning on a table's labels."""

    ranked: tuple[LabelError, ...]
    """Most doubtful first."""
    estimate: float
    """Number of wrong labels, estimated by the confident joint."""
    joint: NDArray[np.float64]
    """Estimated number of faces by given (row) and true (column) emotion [7, 7]."""
    agreement: float
    """Share of faces whose label is the likeliest emotion."""
    kappa: float
    """Agreement corrected for chance (Cohen's kappa), -1 to 1."""

    @property
    def is_trusted(self) -> bool:
        """Whether the classifier is good enough to doubt labels."""
        return self.kappa >= _AGREES

    @property
    def num_strong(self) -> int:
        """Number of strongly doubted labels."""
        return sum(error.is_strong for error in self.ranked)


def predicted_probabilities(
    classifier: Classifier, pixels: Images, advance: Advance = ignore_progress
) -> Probabilities:
    """Returns the classifier's probabilities for gray faces uint8 [n, side, side], chunk by chunk."""
    parts = []
    for start in range(0, len(pixels), _CHUNK):
        some = pixels[start : start + _CHUNK]
        parts.append(classifier.predict_proba(some))
        advance(len(some))
    return np.concatenate(parts)


def find_label_errors(labels: Labels, probabilities: Probabilities) -> LabelErrors:
    """Returns the faces that confidently look like another emotion than their label.

    The result includes the mistakes of a weak classifier, so the estimate is too high and the order
    matters more: in four trials on Muxspace with 3% of its labels swapped on purpose, 83 to 96% of the
    first 24 and 65 to 72% of the first 100 were swapped ones.

    Args:
        labels: Labels as given [n].
        probabilities: Probabilities [n, 7] of a classifier that was not trained on these faces.
    """
    num_classes = len(EMOTIONS)
    sizes = np.bincount(labels, minlength=num_classes)
    own = probabilities[np.arange(len(labels)), labels]
    means = np.bincount(labels, own, minlength=num_classes) / np.maximum(sizes, 1)
    # the true emotion j of a face: p(j) is at least the mean p(j) of faces labelled j, and the likeliest
    thresholds = np.where(sizes >= _FEWEST, means, np.inf)
    passes = probabilities >= np.maximum(thresholds - 1e-9, 1e-9)  # a mean of equals is rounded
    likely = np.where(passes, probabilities, -1.0).argmax(1)
    counted = passes.any(1)
    joint = confusion_counts(labels[counted], likely[counted]).astype(np.float64)
    empty = joint.sum(1) == 0
    joint[empty, empty] = 1  # no confident face with this label: assume that all its labels are right
    # scaled to the number of faces of each label, the counts estimate how many labels are wrong
    joint *= (sizes / joint.sum(1))[:, None]
    doubted = counted & (likely != labels)
    other = probabilities[np.arange(len(labels)), likely]
    rows = np.flatnonzero(doubted & (other > own))
    order = rows[np.argsort(own[rows] - other[rows], kind="stable")]
    agreed = confusion_counts(labels, probabilities.argmax(1)) / len(labels)
    agreement, chance = float(np.trace(agreed)), float(agreed.sum(0) @ agreed.sum(1))
    return LabelErrors(
        ranked=tuple(
            LabelError(int(r), int(labels[r]), int(likely[r]), float(own[r]), float(other[r]))
            for r in order
        ),
        estimate=float(joint.sum() - np.trace(joint)),
        joint=joint,
        agreement=agreement,
        kappa=(agreement - chance) / (1 - chance) if chance < 1 else 0.0,
    )


def label_error_findings(table: FaceTable, errors: LabelErrors, *, doubted_by: str) -> list[Finding]:
    """Returns a finding if a good enough classifier, named by ``doubted_by``, doubts any label."""
    if not errors.ranked or not errors.is_trusted:
        return []
    return [
        Finding(
            kind="label-errors",
            severity="warning" if errors.num_strong >= _MANY * len(table) else "note",
            what=(
                f"{_doubts(errors)}; doubted by {doubted_by} (likely wrong: it gives the label less "
                f"than {_STRONG:.0%})"
            ),
            consequence=(
                "where a label is wrong, a right prediction counts as an error, in training and in test"
            ),
            remedy=(
                "review them (--label-errors FILE), correct the file, and pass it as --relabel; a "
                "network trained on other faces (--model) finds more errors than the baseline"
            ),
            num=len(errors.ranked),
            examples=tuple(
                Example(
                    table.paths[error.row],
                    f"{'likely wrong: ' if error.is_strong else ''}"
                    f"{EMOTIONS[error.given]} {error.probability_given:.2f} → "
                    f"{EMOTIONS[error.suggested]} {error.probability_suggested:.2f}",
                )
                for error in sorted(errors.ranked, key=lambda error: not error.is_strong)
            ),
        )
    ]


def _doubts(errors: LabelErrors) -> str:
    """Returns the numbers of doubted labels, such as ``3 labels likely wrong, 54 to review``."""
    wrong, left = errors.num_strong, len(errors.ranked) - errors.num_strong
    if not wrong:
        return f"{count(left, 'label')} to review"
    return f"{count(wrong, 'label')} likely wrong" + (f", {left:,} to review" if left else "")


def label_error_listing(errors: LabelErrors, *, doubted_by: str) -> Listing:
    """Returns the estimated number of faces by given and true emotion."""
    trust = "" if errors.is_trusted else " That agreement is too low to doubt any label."
    share = errors.estimate / max(errors.joint.sum(), 1)
    rows: list[tuple[Cell, ...]] = [
        (emotion, *(round(float(cell)) for cell in cells))
        for emotion, cells in zip(EMOTIONS, errors.joint, strict=True)
    ]
    return Listing(
        title="Given and estimated labels",
        about=(
            f"Estimated by {doubted_by}, which agrees with {errors.agreement:.0%} of the labels (kappa "
            f"{errors.kappa:.2f}).{trust} Rows are the given labels, columns the estimated emotions; "
            f"{errors.estimate:,.0f} ({share:.1%}) are off the diagonal, including the classifier's "
            "own mistakes."
        ),
        columns=("given", *EMOTIONS),
        rows=tuple(rows),
    )


def label_errors_as_csv(table: FaceTable, ranked: Sequence[LabelError]) -> str:
    """Returns the doubted faces as a csv to be reviewed and passed as ``--relabel``.

    ``emotion`` holds the given label, so an unreviewed file changes nothing.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["image", "emotion", "given", "suggested", "probability_given", "probability_suggested"]
    )
    for error in ranked:
        given, suggested = EMOTIONS[error.given], EMOTIONS[error.suggested]
        shares = (f"{error.probability_given:.4f}", f"{error.probability_suggested:.4f}")
        writer.writerow([table.paths[error.row], given, given, suggested, *shares])
    return text.getvalue()
