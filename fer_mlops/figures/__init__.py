"""Reports, histories and heat maps to pictures."""

from fer_mlops.figures.curves import Curves, importances, study_history, training_curves
from fer_mlops.figures.heat import explanation_sheet, overlay
from fer_mlops.figures.looks import attribution_curves, mean_heats, sheet_of_looks
from fer_mlops.figures.scores import ConfusionPictures, class_bars, confusion_matrix, model_chart
from fer_mlops.figures.style import COLOURS, to_image

__all__ = [
    "COLOURS",
    "ConfusionPictures",
    "Curves",
    "attribution_curves",
    "class_bars",
    "confusion_matrix",
    "explanation_sheet",
    "importances",
    "mean_heats",
    "model_chart",
    "overlay",
    "sheet_of_looks",
    "study_history",
    "to_image",
    "training_curves",
]
