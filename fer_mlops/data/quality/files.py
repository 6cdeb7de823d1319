"""Findings on files: unreadable, damaged and unusual images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from fer_mlops.config import DataConfig
from fer_mlops.data.file_info import FileRecord
from fer_mlops.data.quality.findings import Example, Finding, Severity
from fer_mlops.data.table import FaceTable
from fer_mlops.images.reading import FORMATS, SUFFIXES
from fer_mlops.metrics.identities import count

TINY = 48  # pixels of the shorter side below which a face must be enlarged for most models
_STRETCHED = 1.5
_BLANK = 2.0  # standard deviation of gray below which a picture counts as blank
# standard deviation of gray up to which all pixels count as equal; 16-bit files keep all their bits
_FLAT = 0.01
# share of white below which an image is almost black; 14 bits in a 16-bit file stay below it
_DARK = 0.25
_PLAIN = frozenset({"1", "L", "RGB", "P", "YCbCr"})

Test = Callable[[str, FileRecord], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fault:
    """Fault of a file; a new one is one entry in _FAULTS."""

    kind: str
    severity: Severity = "warning"
    holds: Test
    words: str
    """Text after the number of images."""
    caption: Callable[[FileRecord], str] = lambda record: record.reason
    consequence: str
    remedy: str = ""


def _size(record: FileRecord) -> str:
    return f"{record.width} x {record.height}"


def _has_wrong_name(path: str, record: FileRecord) -> bool:
    suffix, form = PurePath(path).suffix.lower(), record.format.replace("MPO", "JPEG")
    return suffix in SUFFIXES and bool(form) and suffix not in FORMATS[form]


def _is_almost_black(_: str, record: FileRecord) -> bool:
    return not record.problem and record.contrast > _FLAT and record.peak < _DARK


def _is_blank(path: str, record: FileRecord) -> bool:
    return not record.problem and record.contrast < _BLANK and not _is_almost_black(path, record)


def _brightest(record: FileRecord) -> str:
    if not record.mode.startswith("I;16"):
        return f"brightest {record.peak * 255:.0f} of 255"
    peak = round(record.peak * 65_535)
    return f"brightest {peak:,} of 65,535, which takes {peak.bit_length()} bits"


def _is_stretched(_: str, record: FileRecord) -> bool:
    sides = sorted((record.width, record.height))
    return sides[0] > 0 and sides[1] > _STRETCHED * sides[0]


_STOPS = "training stops at them"
_SKIP = "repair or delete them, or train with --on-bad-image skip"
_FAULTS = (
    _Fault(
        kind="unreadable",
        severity="error",
        holds=lambda _, record: record.problem == "unreadable",
        words="cannot be read",
        consequence=_STOPS,
        remedy=_SKIP,
    ),
    _Fault(
        kind="truncated",
        severity="error",
        holds=lambda _, record: record.problem == "truncated",
        words="cut off in the middle",
        consequence=_STOPS,
        remedy="copy or download them again; or train with --on-bad-image skip",
    ),
    _Fault(
        kind="refused-size",
        severity="error",
        holds=lambda _, record: record.problem == "refused",
        words="too large to be opened safely",
        consequence=_STOPS,
        remedy="make them smaller; a face needs a few hundred pixels a side",
    ),
    _Fault(
        kind="huge",
        holds=lambda _, record: record.problem == "huge",
        words="far too large",
        consequence="each takes seconds and hundreds of megabytes to decode",
        remedy="crop them to the face",
    ),
    _Fault(
        kind="tiny",
        holds=lambda _, record: 0 < min(record.width, record.height) < TINY,
        words=f"under {TINY} pixels on the shorter side",
        caption=_size,
        consequence="enlarging blurs them; if one emotion has more of them, blur predicts it",
        remedy="find larger originals, or leave them out",
    ),
    _Fault(
        kind="blank",
        holds=_is_blank,
        words="of one even gray",
        caption=lambda record: f"brightness {record.brightness:.0f}",
        consequence="they show no face to train or evaluate on",
        remedy="delete them",
    ),
    _Fault(
        kind="almost-black",
        holds=_is_almost_black,
        words="almost black: no pixel reaches a quarter of white",
        caption=_brightest,
        consequence="a model sees almost nothing; typical of 10, 12 or 14 camera bits in a 16-bit file",
        remedy="keep them, and multiply all images of that camera by one factor, 16 for 12 bits",
    ),
    _Fault(
        kind="stretched",
        holds=_is_stretched,
        words=f"with one side over {_STRETCHED} times as long as the other",
        caption=_size,
        consequence="resizing to a square distorts them; or they are not crops of a face",
        remedy="crop them to the face",
    ),
    _Fault(
        kind="animated",
        holds=lambda _, record: record.is_moving,
        words="with more than one frame",
        caption=lambda record: record.format,
        consequence="only the first frame is used, which may not show the emotion",
        remedy="save the frame that shows it",
    ),
    _Fault(
        kind="wrong-extension",
        severity="note",
        holds=_has_wrong_name,
        words="in another format than their file name claims",
        caption=lambda record: f"is {record.format}",
        consequence="fer_mlops goes by the content; other programs may refuse them",
        remedy="rename them",
    ),
    _Fault(
        kind="unusual-pixels",
        severity="note",
        holds=lambda _, record: bool(record.mode) and record.mode not in _PLAIN,
        words="with CMYK, 16-bit or transparent pixels",
        caption=lambda record: record.mode,
        consequence="they are converted to gray, transparency to white; tones may differ from the rest",
        remedy="save all images the same way",
    ),
    _Fault(
        kind="rotated",
        severity="note",
        holds=lambda _, record: record.orientation > 1,
        words="rotated by an EXIF tag",
        caption=lambda record: f"orientation {record.orientation}",
        consequence="fer_mlops turns them upright; programs that ignore EXIF show them rotated",
    ),
)


def file_findings(table: FaceTable, records: Sequence[FileRecord], config: DataConfig) -> list[Finding]:
    """Returns one finding per kind of fault; errors are warnings if unreadable images are skipped."""
    findings = []
    for fault in _FAULTS:
        rows = [i for i, record in enumerate(records) if fault.holds(table.paths[i], record)]
        if not rows:
            continue
        is_skipped = fault.severity == "error" and config.on_bad_image == "skip"
        findings.append(
            Finding(
                kind=fault.kind,
                severity="warning" if is_skipped else fault.severity,
                what=f"{count(len(rows), 'image')} {fault.words}",
                consequence="they are left out" if is_skipped else fault.consequence,
                remedy=fault.remedy,
                num=len(rows),
                examples=tuple(Example(table.paths[i], fault.caption(records[i])) for i in rows),
            )
        )
    return findings
