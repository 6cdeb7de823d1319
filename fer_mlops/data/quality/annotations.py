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
    severity: Severity
    consequence: str
    remedy: str


_IDENTIFY = (
    "identify people: a column identity, a folder per person, --identity-pattern, or by face "
    "with --identities faces"
)
_HANDLED = _Meaning("note", "handled while reading", "")
_MEANINGS: dict[str, _Meaning] = {
    "no-identity": _Meaning(
        "warning",
        "images of one person can be in train and test at once, which makes scores too good",
        _IDENTIFY,
    ),
    "doubtful-identity": _Meaning(
        "warning",
        "one person under several names can be in train and test at once, which makes scores too good",
        _IDENTIFY,
    ),
    "spelling": _Meaning(
        "note",
        "read as the emotion they mean; a spelling used by one source only gives that source away",
        "",
    ),
    "repeated-rows": _Meaning("note", "each image counts once", "delete the repeats"),
    "conflicting-rows": _Meaning(
        "warning",
        "the right label is unknown, so the images are left out",
        "choose one label and delete the other row",
    ),
    "unknown-emotion": _Meaning("error", "training stops at them", "correct the spelling or the row"),
    "outside-emotion": _Meaning(
        "note",
        "the classifier can never predict it",
        "to keep the faces, count them as another emotion with --contempt EMOTION",
    ),
    "no-label": _Meaning("note", "left out", "label them to have more faces"),
    "dropped-label": _Meaning("note", "left out", ""),
    "not-read": _Meaning(
        "note",
        "left out",
        "save pictures (such as a phone's HEIC files) as JPEG or PNG to have more faces",
    ),
    "not-a-face": _Meaning("note", "left out", ""),
    "missing-file": _Meaning(
        "error", "training stops at them", "restore the files, or train with --on-bad-image skip"
    ),
    "escaping-path": _Meaning(
        "error", "training stops at them", "move the images below the data set's folder"
    ),
    "malformed-row": _Meaning("error", "training stops at them", "correct the rows"),
    "unreadable": _Meaning("warning", "left out", "repair or delete them"),
    "almost-black": _Meaning(
        "warning",
        "a model sees almost nothing; typical of 10, 12 or 14 camera bits in a 16-bit file",
        "fer-mlops data check names the files; multiply their pixels by one factor, 16 for 12 bits",
    ),
}


def label_findings(notes: Sequence[Note], config: DataConfig) -> list[Finding]:
    """Returns one finding per note about a problem met while reading the data set."""
    findings = []
    for note in notes:
        if note.kind in FACTS:
            continue
        meaning = _MEANINGS.get(note.kind, _HANDLED)
        if note.kind == "missing-file" and config.on_bad_image == "skip":
            meaning = _Meaning("warning", "left out", "restore the files")
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
