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
from fer_mlops.reporting.plots.explanations import attribution_curves, mean_heats, sheet_of_looks
from fer_mlops.reporting.plots.heat_maps import explanation_sheet, overlay
from fer_mlops.reporting.plots.hyperparameters import parallel_coordinates, slices
from fer_mlops.reporting.plots.scores import ConfusionPictures, class_bars, confusion_matrix
from fer_mlops.reporting.plots.style import COLOURS, to_image
from fer_mlops.reporting.plots.training_curves import Curves, training_curves
from fer_mlops.reporting.plots.trials import (
    TrialRecord,
    importances,
    study_history,
    timeline,
    trial_courses,
)

__all__ = [
    "COLOURS",
    "ConfusionPictures",
    "Curves",
    "TrialRecord",
    "attribution_curves",
    "class_bars",
    "confusion_matrix",
    "difference_chart",
    "explanation_sheet",
    "importances",
    "mean_heats",
    "mistakes",
    "model_chart",
    "overlay",
    "parallel_coordinates",
    "precision_recall",
    "reliability_diagram",
    "robustness_curves",
    "score_against_minutes",
    "sheet_of_looks",
    "slice_chart",
    "slices",
    "spread_chart",
    "study_history",
    "timeline",
    "to_image",
    "training_curves",
    "trial_courses",
    "wins_chart",
]
