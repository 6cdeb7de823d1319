"""Baseline fitted with scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from joblib import Parallel, delayed
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from fer_mlops.config import HogSvmConfig
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.hog import Vectors
from fer_mlops.models.hog_svm import HogSvm

_FOLDS = 3
_LEAST_VARIANCE = 1e-12  # lower limit of the components' variance, which is 0 if all images are equal


def fit_hog_svm(vectors: Vectors, labels: Labels, config: HogSvmConfig, seed: int) -> HogSvm:
    """Returns the baseline fitted to HOG vectors [n, features] with labels [n] of two emotions or more.

    With too few faces for folds (``can_calibrate``), probabilities come from the uncalibrated decisions
    and the emotions' shares.
    """
    folds = _folds(labels, seed) if can_calibrate(labels) else []
    everything = np.arange(len(labels))
    fit = delayed(_fit_machine)
    with threadpool_limits(1, "blas"):  # otherwise the parallel fits would compete for the cores
        machines: list[HogSvm] = Parallel(n_jobs=-1, prefer="threads")(  # libsvm releases the GIL
            fit(vectors[kept], labels[kept], config, seed)
            for kept in (everything, *(kept for kept, _ in folds))
        )
    machine, *partial = machines
    if not folds:
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        return replace(machine, offsets=np.log(shares))
    # calibrated out of fold: decisions on its own training faces would be overconfident
    decisions = np.zeros((len(labels), len(machine.classes)))
    for part, (_, left_out) in zip(partial, folds, strict=True):
        columns = np.searchsorted(machine.classes, part.classes)
        decisions[np.ix_(left_out, columns)] = part.decide(vectors[left_out])
    calibrator = LogisticRegression(max_iter=2000).fit(decisions, labels)
    weights, offsets = calibrator.coef_, calibrator.intercept_
    if len(machine.classes) == 2:  # scikit-learn stores one row, that of the second class
        weights = np.vstack([-weights, weights]) / 2
        offsets = np.array([-offsets[0], offsets[0]]) / 2
    return replace(machine, weights=weights, offsets=offsets)


def can_calibrate(labels: Labels) -> bool:
    """Returns whether at least two emotions have a face for each fold, so that every fit sees both."""
    return int((np.bincount(labels) >= _FOLDS).sum()) >= 2


def _folds(labels: Labels, seed: int) -> list[tuple[Labels, Labels]]:
    with warnings.catch_warnings():  # emotions with fewer faces than folds cause a warning
        warnings.simplefilter("ignore", UserWarning)
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
        return list(folds.split(labels, labels))


def _fit_machine(vectors: Vectors, labels: Labels, config: HogSvmConfig, seed: int) -> HogSvm:
    """Returns the fitted baseline, without calibration of its decisions."""
    components = min(config.components, *vectors.shape)
    with np.errstate(invalid="ignore"):  # equal images have a variance of 0
        # the randomized solver computes the leading components only
        reducer = PCA(components, svd_solver="randomized", random_state=seed).fit(vectors)
    mean, axes = reducer.mean_.astype(np.float64), reducer.components_.astype(np.float64)
    points = (vectors - mean) @ axes.T
    gamma = config.gamma / (components * max(points.var(), _LEAST_VARIANCE))
    svm = SVC(C=config.c, gamma=gamma, cache_size=500).fit(points, labels)
    k = len(svm.classes_)
    sign = -1.0 if k == 2 else 1.0  # with two classes scikit-learn inverts libsvm's sign
    return HogSvm(
        cells=np.array(config.cells),
        orientations=np.array(config.orientations),
        mirror=np.array(config.mirror),
        mean=mean,
        axes=axes,
        vectors=svm.support_vectors_,
        duals=sign * svm.dual_coef_,
        intercepts=sign * svm.intercept_,
        num_support=svm.n_support_.astype(np.int64),
        gamma=np.array(gamma),
        weights=np.eye(k),
        offsets=np.zeros(k),
        classes=svm.classes_.astype(np.int64),
    )
