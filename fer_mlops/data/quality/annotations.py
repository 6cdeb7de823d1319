"""Findings on labels and rows, from the notes of reading the data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fer_mlops.config import DataConfig
from fer_mlops.data.quality.findings import Example, Finding, Severity
from fer_mlops.data.table import Note

FACTS = frozenset({"about", "identities", "relabelled"})
"""Kinds of notes that describe the data instead of a problem."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    consequence: str
    remedy: str = ""
    severity: Severity = "note"


_IDENTIFY = (
    "identify people: a column identity, a folder per person, --identity-pattern, or by face "
    "with --identities faces"
)
_MEANINGS: dict[str, _Meaning] = {
    "no-identity": _Meaning(
        "images of one person can be in train and test at once, which makes scores too good",
        _IDENTIFY,
        "warning",
    ),
    "doubtful-identity": _Meaning(
        "one person under several names can be in train and test at once, which makes scores too good",
        _IDENTIFY,
        "warning",
    ),
    "spelling": _Meaning(
        "read as the emotion they mean; a spelling used by one source only gives that source away"
    ),
    "repeated-rows": _Meaning("each image counts once", "delete the repeats"),
    "conflicting-rows": _Meaning(
        "the right label is unknown, so the images are left out",
        "choose one label and delete the other row",
        "warning",
    ),
    "unknown-emotion": _Meaning("training stops at them", "correct the spelling or the row", "error"),
    "outside-emotion": _Meaning(
        "the classifier can never predict it",
        "to keep the faces, count them as another emotion with --contempt EMOTION",
    ),
    "no-label": _Meaning("left out", "label them to have more faces"),
    "dropped-label": _Meaning("left out"),
    "not-read": _Meaning(
        "left out", "save pictures (such as a phone's HEIC files) as JPEG or PNG to have more faces"
    ),
    "not-a-face": _Meaning("left out"),
    "missing-file": _Meaning(
        "training stops at them", "restore the files, or train with --on-bad-image skip", "error"
    ),
    "escaping-path": _Meaning(
        "training stops at them", "move the images below the data set's folder", "error"
    ),
    "malformed-row": _Meaning("training stops at them", "correct the rows", "error"),
    "unreadable": _Meaning("left out", "repair or delete them", "warning"),
    "almost-black": _Meaning(
        "a model sees almost nothing; typical of 10, 12 or 14 camera bits in a 16-bit file",
        "fer-mlops data check names the files; multiply their pixels by one factor, 16 for 12 bits",
        "warning",
    ),
}


def label_findings(notes: Sequence[Note], config: DataConfig) -> list[Finding]:
    """Returns one finding per note about a problem met while reading the data set."""
    findings = []
    for note in notes:
        if note.kind in FACTS:
            continue
        meaning = _MEANINGS.get(note.kind, _Meaning("handled while reading"))
        if note.kind == "missing-file" and config.on_bad_image == "skip":  # training goes on
            meaning = _Meaning("left out", "restore the files", "warning")
        findings.append(
            Finding(
                kind=note.kind,
                severity=meaning.severity,
                what=note.text,
                consequence=meaning.consequence,
                remedy=meaning.remedy,
                num=len(note.examples),
                examples=tuple(Example(text) for text in note.examples),
            )
        )
    return findings
