"""What the numbers will be worth, in a few sentences."""

from __future__ import annotations

from collections.abc import Sequence

from fer_mlops.data.quality.class_balance import ClassSize, interval_width
from fer_mlops.data.quality.findings import Finding, listed
from fer_mlops.metrics.classification import FEW
from fer_mlops.metrics.identities import count


def give_verdict(findings: Sequence[Finding], sizes: Sequence[ClassSize], split: str) -> str:
    """Returns what scores on this data will say, and what not.

    Args:
        findings: All of them.
        sizes: Of each emotion.
        split: The kind that scores will be taken on.
    """
    kinds = {finding.kind: finding for finding in findings}
    sentences = []
    num_errors = sum(finding.severity == "error" for finding in findings)
    if num_errors:
        them = "it" if num_errors == 1 else "them"
        sentences.append(
            f"Training stops at this data: mend {them} first, {count(num_errors, 'error')}."
        )
    if "no-split" not in kinds:
        sentences.append(_precision(sizes, split))
    known = kinds.get("known-people")
    if known and known.severity == "warning":
        sentences.append("They will flatter: train knows many of the people in test.")
    if "copies-across-parts" in kinds:
        sentences.append("Some test photos are in train as well, which makes them too good.")
    if "shortcut" in kinds or "shortcuts-together" in kinds:
        sentences.append(
            "Part of any score may be for knowing where a picture comes from, not for reading faces."
        )
    doubted = kinds.get("label-errors")
    if doubted:
        sentences.append(f"{count(doubted.num, 'label')} should be looked through first.")
    return " ".join(sentences)


def _precision(sizes: Sequence[ClassSize], split: str) -> str:
    num_test = sum(size.test_faces for size in sizes)
    effective = sum(size.effective for size in sizes)
    known = interval_width(0.8, effective) / 2
    few = [size.emotion for size in sizes if size.faces and size.effective < FEW]
    but = f"; those of {listed(few, 7)} will be mostly chance" if few else ""
    return (
        f"Scores on the {count(num_test, 'test face')} of the {split} split: an accuracy of 80 % will "
        f"be known to ±{100 * known:.1f} points{but}."
    )
