"""Full evaluation of one model on one set of faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_mlops.data.file_info import read_records
from fer_mlops.evaluation.attribution.report import AttributionReport
from fer_mlops.evaluation.predictions import LabelledPredictions
from fer_mlops.evaluation.report import SCORES, Report, confidence_measures, evaluate
from fer_mlops.evaluation.robustness import Robustness
from fer_mlops.evaluation.slices import Slices, slice_faces, traits_of
from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import OPERATING_POINTS, OperatingPoint


@dataclass(frozen=True, kw_only=True)
class ModelEvaluation:
    """A model's predictions for some faces, with all scores."""

    faces: str
    """Description of the faces, such as ``test part of muxspace``."""
    predictions: LabelledPredictions
    """The model's predictions."""
    pixels: Images
    """The same faces, prepared for the model, uint8 [n, side, side]."""
    reports: Mapping[OperatingPoint, Report]
    """Report at each operating point; only ``default`` if the model has just one."""
    confidence: Mapping[str, float]
    """``ece_before_temperature``, ``answered_share``, ``answered_error`` at the default point."""
    slices: Slices
    robustness: Robustness | None = None
    """None if robustness was not measured."""
    attribution: AttributionReport | None = None
    """Measures of the heat maps; None if they were not measured."""

    @property
    def answers(self) -> LabelledPredictions:
        """Former name of ``predictions``."""
        return self.predictions

    @property
    def report(self) -> Report:
        """Report at the default operating point."""
        return self.reports["default"]

    def metrics(self, part: str) -> dict[str, float]:
        """Returns the scores that a run logs as metrics; ``as_dict`` has all numbers."""
        flat = self.report.metrics(part)
        for operating_point, report in self.reports.items():
            if operating_point != "default":
                flat |= {
                    f"{part}_{operating_point}/{score}": getattr(report, score).value for score in SCORES
                }
        if np.isfinite(self.slices.worst_gap):
            flat[f"{part}/worst_slice_gap"] = self.slices.worst_gap
        if self.robustness:
            flat[f"{part}/robustness_mean"] = self.robustness.mean
            flat[f"{part}/robustness_clean"] = self.robustness.clean
        return flat

    def as_dict(self) -> dict[str, object]:
        """Returns everything but the predictions as plain values, for JSON."""
        return {
            "faces": self.faces,
            "people_known_by": "identity" if self.report.num_people else "unknown",
            "points": {name: report.as_dict() for name, report in self.reports.items()},
            "confidence": dict(self.confidence),
            "slices": self.slices.as_dict(),
            "robustness": self.robustness.as_dict() if self.robustness else None,
            "attribution": self.attribution.as_dict() if self.attribution else None,
        }


def evaluate_predictions(
    faces: str, predictions: LabelledPredictions, pixels: Images, robustness: Robustness | None = None
) -> ModelEvaluation:
    """Returns the evaluation of predictions: a report at each operating point, confidence, and slices.

    Args:
        faces: Description of the faces.
        predictions: Predictions of one model, n at least 1.
        pixels: Prepared faces in the same order, uint8 [n, side, side].
        robustness: Robustness, if it was measured.
    """
    labels, identities = predictions.labels, predictions.identities
    # without the training frequencies, all operating points are the default one
    points = OPERATING_POINTS if predictions.calibration.log_prior else OPERATING_POINTS[:1]
    # slices need the colour, brightness and resolution of the files
    traits = traits_of(predictions.table, read_records(predictions.table))
    return ModelEvaluation(
        faces=faces,
        predictions=predictions,
        pixels=pixels,
        reports={
            point: evaluate(labels, predictions.probabilities(point), identities) for point in points
        },
        confidence=confidence_measures(predictions.calibration, predictions.logits, labels),
        slices=slice_faces(labels, predictions.probabilities(), identities, traits),
        robustness=robustness,
    )


def confident_mistakes(predictions: LabelledPredictions, most: int = 16) -> NDArray[np.int64]:
    """Returns the rows of up to ``most`` wrong predictions, most confident first."""
    probabilities = predictions.probabilities()
    confidence = np.where(probabilities.argmax(1) != predictions.labels, probabilities.max(1), -1)
    order = np.argsort(-confidence, kind="stable")[:most]
    return np.asarray(order[confidence[order] >= 0], dtype=np.int64)
