"""Labelled predictions: a classifier's logits for the faces of a table, input of every evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.table import FaceTable
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.calibration import Calibration, Logits, OperatingPoint
from fer_mlops.models.classifier import Classifier


@dataclass(frozen=True, kw_only=True)
class LabelledPredictions:
    """A classifier's predictions for the faces of a table, row by row."""

    table: FaceTable
    logits: Logits
    """Shape [n, 7]."""
    calibration: Calibration

    def __len__(self) -> int:
        return len(self.table)

    @property
    def labels(self) -> Labels:
        """Label of each face, [n]."""
        return self.table.labels

    @property
    def identities(self) -> NDArray[np.str_]:
        """Identity of each face, [n]."""
        return self.table.identities

    def probabilities(self, point: OperatingPoint = "default") -> NDArray[np.float64]:
        """Returns calibrated probabilities [n, 7] at an operating point."""
        return self.calibration.at(point).probabilities(self.logits)

    def is_sure(self, point: OperatingPoint = "default") -> NDArray[np.bool_]:
        """Returns whether each prediction reaches the point's threshold, [n]."""
        return self.calibration.at(point).is_sure(self.probabilities(point))


def predict_table(classifier: Classifier, table: FaceTable, pixels: Images) -> LabelledPredictions:
    """Returns the classifier's predictions for a table and its prepared faces uint8 [n, side, side]."""
    return LabelledPredictions(
        table=table, logits=classifier.scorer.logits(pixels), calibration=classifier.calibration
    )
