"""Plots of a study, drawn by Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import optuna
from matplotlib import pyplot, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState
from optuna.visualization import matplotlib as draw

_MOST_KEYS = 10  # hyperparameters that a plot has room for
_MOST_ENTRIES = 12  # entries that a legend has room for


def study_plots(study: optuna.Study, metric: str) -> dict[str, Figure]:
    """Returns the plots of the trials so far, by name.

    History and timeline are always drawn; intermediate values where a trial reported some; importances,
    slices and parallel coordinates from two complete trials with different values. Parallel coordinates
    show the hyperparameters that every complete trial has.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    plots = {
        "history": _drawn(lambda: draw.plot_optimization_history(study, target_name=metric)),
        "timeline": _drawn(lambda: draw.plot_timeline(study)),
    }
    if any(trial.intermediate_values for trial in study.get_trials(deepcopy=False)):
        plots["intermediate_values"] = _drawn(lambda: draw.plot_intermediate_values(study))
    if len({trial.value for trial in complete}) < 2:
        return plots
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about hyperparameters that few trials have
        shares = optuna.importance.get_param_importances(study)
    keys = list(shares)[:_MOST_KEYS]
    if keys:
        plots["importances"] = _drawn(
            lambda: draw.plot_param_importances(study, params=keys, target_name=metric)
        )
        plots["slices"] = _drawn(lambda: draw.plot_slice(study, params=keys, target_name=metric))
    common = [key for key in keys if all(key in trial.params for trial in complete)]
    if len(common) > 1:
        figure = _drawn(lambda: draw.plot_parallel_coordinate(study, params=common, target_name=metric))
        figure.subplots_adjust(bottom=0.25)  # its names are written aslant
        plots["parallel_coordinates"] = figure
    return plots


def _drawn(plot: Callable[[], Axes | np.ndarray]) -> Figure:
    """Returns the figure of an Optuna plot; the process's matplotlib settings stay as they were."""
    with rc_context(), warnings.catch_warnings():
        pyplot.switch_backend("agg")
        warnings.simplefilter("ignore", (ExperimentalWarning, UserWarning))
        axes = np.ravel(np.asarray(plot()))[0]
    figure: Figure = axes.get_figure()
    figure.set_size_inches(max(10, 2.2 * len(figure.axes)), 5)
    if len(figure.axes) == 1:  # with a colour bar, a tight layout draws it over the plot
        figure.set_layout_engine("tight")  # long names of hyperparameters would be cut off
    legend = axes.get_legend()
    if legend and len(legend.get_texts()) > _MOST_ENTRIES:
        legend.remove()
    pyplot.close(figure)
    return figure
