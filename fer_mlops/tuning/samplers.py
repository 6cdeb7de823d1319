"""Optuna's samplers and pruners, by name."""

from __future__ import annotations

import math
import warnings

import numpy as np
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    RandomSampler,
    TPESampler,
)

from fer_mlops.tuning.config import Plan, num_steps

_TRIALS_FIRST = 4
"""Complete trials that the median pruner waits for."""
_KEPT = 3
"""One of so many trials goes on from one judgement of halving and hyperband to the next."""


def make_sampler(plan: Plan, num_trials: int) -> BaseSampler:
    """Returns the sampler for the trial that follows ``num_trials`` others.

    One sampler per trial, seeded by the plan's seed and the trial's number: workers never draw the same,
    and a study that goes on does not draw its first trials again.
    """
    seed = int(np.random.SeedSequence([plan.experiment.seed, num_trials]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match plan.sampler:
            case "tpe":
                return TPESampler(seed=seed)
            case "gp":
                return GPSampler(seed=seed)
            case "cmaes":
                return CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "random":
                return RandomSampler(seed=seed)
            case "grid":  # whose order must be the same for all
                return GridSampler(plan.space.grid(), seed=plan.experiment.seed)


def make_pruner(plan: Plan) -> BasePruner:
    """Returns the pruner, which judges no fit before a third of it.

    Until then the learning rate of ``one_cycle`` rises, and the order of trials says next to nothing
    about their order in the end.
    """
    steps, fits = num_steps(plan.experiment), max(plan.folds, 1) * plan.seeds
    third = math.ceil(steps / 3)
    match plan.pruner:
        case "halving":  # asynchronous: https://arxiv.org/abs/1810.05934
            return SuccessiveHalvingPruner(min_resource=third, reduction_factor=_KEPT)
        case "median":
            return MedianPruner(n_startup_trials=_TRIALS_FIRST, n_warmup_steps=third)
        case "hyperband":
            return HyperbandPruner(min_resource=third, max_resource=steps * fits, reduction_factor=_KEPT)
        case "none":
            return NopPruner()
