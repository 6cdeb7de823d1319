"""Verdict of the data check: how reliable scores will be, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fer_mlops.data.quality.class_balance import ClassSize, interval_width
from fer_mlops.data.quality.findings import Finding, listed
from fer_mlops.metrics.classification import FEW
from fer_mlops.metrics.identities import count


def give_verdict(findings: Sequence[Finding], sizes: Sequence[ClassSize], split: str) -> str:
    """Returns a summary of how reliable scores on this data will be.

    Args:
        findings: All findings.
        sizes: Size of each emotion.
        split: Kind of the split used for scores.
    """
    kinds = {finding.kind: finding for finding in findings}
    sentences = []
    num_errors = sum(finding.severity == "error" for finding in findings)
    if num_errors:
        sentences.append(f"Training stops on this data: fix {count(num_errors, 'error')} first.")
    if "no-split" not in kinds:
        sentences.append(_precision(sizes, split))
    known = kinds.get("known-people")
    if known and known.severity == "warning":
        sentences.append("The scores will be too good: many people in test are also in train.")
    if "copies-across-parts" in kinds:
        sentences.append("Some test photos are also in train, which makes the scores too good.")
    if "shortcut" in kinds or "shortcuts-together" in kinds:
        sentences.append(
            "Part of any score may come from recognising the source of a picture, not the expression."
        )
    doubted = kinds.get("label-errors")
    if doubted:
        sentences.append(f"{doubted.what.partition(';')[0]}.")
    return " ".join(sentences)


def _precision(sizes: Sequence[ClassSize], split: str) -> str:
    num_test = sum(size.test_faces for size in sizes)
    effective = sum(size.effective for size in sizes)
    known = interval_width(0.8, effective) / 2
    few = [size.emotion for size in sizes if size.faces and size.effective < FEW]
    which = "every emotion" if len(few) == sum(size.faces > 0 for size in sizes) else listed(few)
    but = f"; those of {which} will be mostly chance" if few else ""
    return (
        f"Scores on the {count(num_test, 'test face')} of the {split} split: an accuracy of 80% will "
        f"be known to ±{100 * known:.1f} points{but}."
    )
