"""Figures of reports, training curves, sweeps and heat maps."""

from fer_mlops.reporting.plots.comparison import difference_chart, model_chart, spread_chart, wins_chart
from fer_mlops.reporting.plots.evaluation import (
    mistakes,
    precision_recall,
    reliability_diagram,
    robustness_curves,
    score_against_minutes,
    slice_chart,
)
from fer_mlops.reporting.plots.explanations import (
    attribution_curves,
    explanation_sheet,
    mean_heats,
    overlay,
    sheet_of_looks,
)
from fer_mlops.reporting.plots.scores import ConfusionPictures, class_bars, confusion_matrix
from fer_mlops.reporting.plots.style import COLOURS, to_image
from fer_mlops.reporting.plots.training_curves import Curves, training_curves

__all__ = [
    "COLOURS",
    "ConfusionPictures",
    "Curves",
    "attribution_curves",
    "class_bars",
    "confusion_matrix",
    "difference_chart",
    "explanation_sheet",
    "mean_heats",
    "mistakes",
    "model_chart",
    "overlay",
    "precision_recall",
    "reliability_diagram",
    "robustness_curves",
    "score_against_minutes",
    "sheet_of_looks",
    "slice_chart",
    "spread_chart",
    "to_image",
    "training_curves",
    "wins_chart",
]
