"""Optuna's samplers and pruners, by name."""

from __future__ import annotations

import math
import warnings

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, GridSampler, RandomSampler, TPESampler

from fer_mlops.tuning.config import Plan, num_steps

_TRIALS_FIRST = 4  # complete trials that the median pruner waits for
_KEPT = 3  # reduction factor of halving and hyperband: one in this many trials continues at each rung


def make_sampler(plan: Plan, num_trials: int) -> BaseSampler:
    """Returns the sampler for the trial that follows ``num_trials`` others."""
    # a seed for each trial, so that workers, or a study that continues, draw no values twice
    seed = int(np.random.SeedSequence([plan.experiment.seed, num_trials]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match plan.tuning.sampler:
            case "tpe":
                return TPESampler(seed=seed)
            case "gp":
                return GPSampler(seed=seed)
            case "cmaes":
                return CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "random":
                return RandomSampler(seed=seed)
            case "grid":  # all workers need the same order
                return GridSampler(plan.space.grid(), seed=plan.experiment.seed)


def make_pruner(plan: Plan) -> BasePruner:
    """Returns the pruner, which prunes no fit before a third of its steps."""
    # until then the learning rate of one_cycle rises, and ranks hardly predict the final ranks
    steps, fits = num_steps(plan.experiment), max(plan.tuning.folds, 1) * plan.tuning.seeds
    third = math.ceil(steps / 3)
    match plan.tuning.pruner:
        case "halving":  # asynchronous: https://arxiv.org/abs/1810.05934
            return SuccessiveHalvingPruner(min_resource=third, reduction_factor=_KEPT)
        case "median":
            return MedianPruner(n_startup_trials=_TRIALS_FIRST, n_warmup_steps=third)
        case "hyperband":
            return HyperbandPruner(min_resource=third, max_resource=steps * fits, reduction_factor=_KEPT)
        case "none":
            return NopPruner()
