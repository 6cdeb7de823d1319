"""Plots of a study: which are drawn, and that drawing changes no setting of the process."""

from __future__ import annotations

import matplotlib as mpl
import optuna
from matplotlib import pyplot

from fer_mlops.tuning.study_plots import study_plots

ALWAYS = {"history", "timeline"}


def study_of(num: int, *, reports: bool = False) -> optuna.Study:
    """Returns a study with a hyperparameter that every second trial lacks."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        value = trial.suggest_float("training.learning_rate", 1e-4, 1e-1, log=True)
        loss = trial.suggest_categorical("training.loss", ["focal", "cross_entropy"])
        if trial.number % 2:
            value += trial.suggest_float("training.focal_gamma", 0, 2)
        if reports:
            trial.report(value, 1)
            trial.report(value + (loss == "focal"), 2)
            if trial.number % 3 == 2:
                raise optuna.TrialPruned
        return value + (loss == "focal")

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study.optimize(objective, n_trials=num)
    return study


def test_one_complete_trial_gives_history_and_timeline() -> None:
    assert set(study_plots(study_of(1), "valid/macro_f1")) == ALWAYS


def test_pruned_trials_and_conditional_hyperparameters_are_drawn() -> None:
    plots = study_plots(study_of(12, reports=True), "valid/macro_f1")
    compared = {"importances", "slices", "parallel_coordinates"}
    assert set(plots) == ALWAYS | {"intermediate_values"} | compared
    names = [label.get_text() for label in plots["parallel_coordinates"].axes[0].get_xticklabels()]
    assert len(names) == 3  # the objective and two hyperparameters
    assert not any("gamma" in name for name in names)
    assert "valid/macro_f1" in plots["history"].axes[0].get_ylabel()


def test_drawing_leaves_no_figure_open_and_no_setting_changed() -> None:
    before = dict(mpl.rcParams)
    study_plots(study_of(4), "valid/macro_f1")
    assert pyplot.get_fignums() == []
    assert dict(mpl.rcParams) == before
