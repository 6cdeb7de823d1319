"""Output formats of predictions: a table for people, JSON lines and csv for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import printable
from fer_mlops.serving.image_predictions import PredictionRow

_DIGITS = 6  # decimals of a probability
_BOX = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Format:
    """Output format; a new one is one line in FORMATS."""

    line: Callable[[PredictionRow], str]
    """Returns the text of one prediction."""
    header: Callable[[bool], str] = lambda _: ""
    """Returns the first line, or nothing; called with whether faces are detected in photos."""
    is_for_programs: bool = True
    """Whether the output is read by programs, and so is in UTF-8."""


def _table(row: PredictionRow) -> str:
    sure = "sure" if row.prediction.is_sure else "not sure"
    where = "" if row.box is None else f"  face {row.number} at {','.join(map(str, row.box))}"
    picture = f"  {row.picture}" if row.picture else ""
    scored = f"{row.prediction.emotion:9} {row.prediction.confidence:.2f}  {sure:8}"
    line = f"{scored}  {row.image}{where}{picture}"
    return printable(line).replace("\n", r"\n")


def fields_of(row: PredictionRow) -> dict[str, object]:
    """Returns a prediction as plain values, for JSON."""
    prediction = row.prediction
    fields: dict[str, object] = {"image": row.image}
    if row.box is not None:
        fields |= {"face": row.face, "box": row.box}
    fields |= {
        "emotion": prediction.emotion,
        "confidence": round(prediction.confidence, _DIGITS),
        "is_sure": prediction.is_sure,
        "probabilities": {
            name: round(value, _DIGITS) for name, value in prediction.probabilities.items()
        },
    }
    if row.picture:
        fields["picture"] = row.picture
    return fields


def _csv_header(finds_faces: bool) -> str:
    place = ("face", *_BOX) if finds_faces else ()
    return _csv_line(["image", *place, "emotion", "confidence", "is_sure", *EMOTIONS])


def _csv(row: PredictionRow) -> str:
    prediction = row.prediction
    place = () if row.box is None else (row.face, *row.box)
    scores = (
        f"{value:.{_DIGITS}f}" for value in (prediction.confidence, *prediction.probabilities.values())
    )
    confidence, *probabilities = scores
    sure = "true" if prediction.is_sure else "false"
    return _csv_line([row.image, *place, prediction.emotion, confidence, sure, *probabilities])


def _csv_line(cells: Sequence[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


FORMATS: dict[str, Format] = {
    "table": Format(_table, is_for_programs=False),
    "json": Format(lambda row: json.dumps(fields_of(row), ensure_ascii=False)),
    "csv": Format(_csv, _csv_header),
}
