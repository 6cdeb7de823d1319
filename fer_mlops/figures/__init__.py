"""Reports, histories and heat maps to pictures."""

from fer_mlops.figures.curves import Curves, training_curves
from fer_mlops.figures.heat import explanation_sheet, overlay
from fer_mlops.figures.scores import ConfusionPictures, class_bars, confusion_matrix, model_chart
from fer_mlops.figures.settings import parallel_coordinates, slices
from fer_mlops.figures.studies import (
    TrialRecord,
    importances,
    study_history,
    timeline,
    trial_courses,
)
from fer_mlops.figures.style import COLOURS, to_image

__all__ = [
    "COLOURS",
    "ConfusionPictures",
    "Curves",
    "TrialRecord",
    "class_bars",
    "confusion_matrix",
    "explanation_sheet",
    "importances",
    "model_chart",
    "overlay",
    "parallel_coordinates",
    "slices",
    "study_history",
    "timeline",
    "to_image",
    "training_curves",
    "trial_courses",
]
