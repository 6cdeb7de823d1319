"""Predictions of a model: one face, one face in a photo, a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from fer_mlops.emotions import EMOTIONS
from fer_mlops.images.face_detection import Box

if TYPE_CHECKING:
    import pandas as pd

NEVER_SURE = (
    "this model is never sure: its validation faces were too few, or too often wrong, to set a threshold"
)
"""Reason why no prediction of a model is sure."""
_SHOWN, _ROWS = 5, 20  # predictions of a batch that its repr and a notebook show


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """Prediction of one face."""

    emotion: str
    """The most probable of EMOTIONS."""
    confidence: float
    """Probability of that emotion, 0 to 1."""
    probabilities: dict[str, float]
    """Probability of each emotion, in the order of EMOTIONS; sum 1."""
    is_sure: bool
    """Whether the confidence reaches the threshold; below it, do not rely on the emotion."""

    def columns(self) -> dict[str, str | float | bool]:
        """Returns the prediction in the columns of the registered model's output, in their order."""
        return {
            "emotion": self.emotion,
            "confidence": self.confidence,
            **self.probabilities,
            "is_sure": self.is_sure,
        }


@dataclass(frozen=True)
class FacePrediction:
    """Prediction of one face in a photo."""

    box: Box
    answer: Prediction


@dataclass(frozen=True, eq=False)
class PredictionBatch(Sequence[Prediction]):
    """Predictions in the order of the images."""

    probabilities: NDArray[np.float64]
    """Shape [n, 7]; columns in the order of EMOTIONS."""
    is_sure: NDArray[np.bool_]
    """Shape [n]."""

    def __len__(self) -> int:
        return len(self.probabilities)

    def __repr__(self) -> str:
        shown = [f"{one.emotion} {one.confidence:.2f}" for one in self[:_SHOWN]]
        more = [f"{len(self) - _SHOWN} more"] if len(self) > _SHOWN else []
        return f"PredictionBatch({', '.join(shown + more)})"

    def _repr_html_(self) -> str:
        return self.to_frame().to_html(float_format="{:.3f}".format, max_rows=_ROWS)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> PredictionBatch: ...

    def __getitem__(self, index: int | slice) -> Prediction | PredictionBatch:
        if isinstance(index, slice):
            return PredictionBatch(self.probabilities[index], self.is_sure[index])
        row = self.probabilities[index]
        return Prediction(
            emotion=EMOTIONS[row.argmax()],
            confidence=float(row.max()),
            probabilities=dict(zip(EMOTIONS, row.tolist(), strict=True)),
            is_sure=bool(self.is_sure[index]),
        )

    def to_frame(self) -> pd.DataFrame:
        """Returns a row per prediction, with the columns of the registered model's output."""
        import pandas as pd  # slow to import, and most callers need no table

        table = pd.DataFrame(self.probabilities, columns=list(EMOTIONS))
        table.insert(0, "emotion", [EMOTIONS[label] for label in self.probabilities.argmax(1)])
        table.insert(1, "confidence", self.probabilities.max(1))
        table["is_sure"] = self.is_sure
        return table
