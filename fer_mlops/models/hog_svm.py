"""The baseline: HOG, principal components, RBF support vector machine, calibrated decisions.

Fitted with scikit-learn, kept as plain arrays: the whole model is one ``.npz`` without pickles.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from fer_mlops.config import HogSvmConfig
from fer_mlops.datasets.table import Labels
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ModelError
from fer_mlops.features import Vectors, hog_vectors
from fer_mlops.pixels import Pixels
from fer_mlops.progress import Advance, ignore_progress

Array = NDArray[np.float64]
_FOLDS = 3
_LEAST_VARIANCE = 1e-12
"""Of the faces' components; equal pictures have none."""


@dataclass(frozen=True, kw_only=True)
class HogSvm:
    """A fitted baseline; ``k`` is the number of emotions it saw, ``s`` of support vectors."""

    cells: NDArray[np.int64]
    """[scales]; sides in pixels."""
    orientations: NDArray[np.int64]
    mirror: NDArray[np.bool_]
    mean: Array
    """[features]"""
    axes: Array
    """[components, features]"""
    vectors: Array
    """[s, components]"""
    duals: Array
    """[k - 1, s]; scikit-learn's layout of one-against-one coefficients."""
    intercepts: Array
    """[k * (k - 1) / 2]"""
    num_support: NDArray[np.int64]
    """[k]"""
    gamma: Array
    weights: Array
    """[k, k]; decisions to log-odds, learned out of fold."""
    offsets: Array
    """[k]"""
    classes: NDArray[np.int64]
    """[k]; ascending labels."""

    def logits(self, pixels: Pixels, advance: Advance = ignore_progress) -> NDArray[np.float32]:
        """Returns log-probabilities [n, 7] of gray faces uint8 [n, side, side]."""
        vectors = hog_vectors(
            pixels,
            cells=self.cells.tolist(),
            orientations=int(self.orientations),
            is_symmetric=bool(self.mirror),
            advance=advance,
        )
        return self.logits_of_vectors(vectors)

    def logits_of_vectors(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns log-probabilities [n, 7] of HOG vectors; emotions it never saw get -30."""
        decisions = self.decide(vectors)
        seen = log_softmax(decisions @ self.weights.T + self.offsets, axis=1)
        logits = np.full((len(vectors), len(EMOTIONS)), -30.0)
        logits[:, self.classes] = seen
        return logits.astype(np.float32)

    def decide(self, vectors: Vectors) -> Array:
        """Returns one-against-rest decisions [n, k], as SVC(decision_function_shape='ovr')."""
        points = (vectors - self.mean) @ self.axes.T
        squares = (points**2).sum(1)[:, None] + (self.vectors**2).sum(1) - 2 * points @ self.vectors.T
        kernel = np.exp(-float(self.gamma) * squares)
        starts = np.concatenate([[0], np.cumsum(self.num_support)])
        k = len(self.classes)
        votes, confidences = np.zeros((len(points), k)), np.zeros((len(points), k))
        pair = 0
        for i in range(k):
            for j in range(i + 1, k):
                of_i, of_j = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
                decision = (
                    kernel[:, of_i] @ self.duals[j - 1, of_i]
                    + kernel[:, of_j] @ self.duals[i, of_j]
                    + self.intercepts[pair]
                )
                votes[:, i] += decision > 0
                votes[:, j] += decision <= 0
                confidences[:, i] += decision
                confidences[:, j] -= decision
                pair += 1
        shrunk: Array = confidences / (3 * (np.abs(confidences) + 1))
        return votes + shrunk

    def save(self, path: Path) -> None:
        """Writes the arrays to ``path``, an ``.npz``."""
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path) -> HogSvm:
        """Returns the baseline saved at ``path``.

        Raises:
            ModelError: The file is missing or is not one of ours.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"cannot read a baseline from {str(path)!r}: {error}") from error


def fit_hog_svm(vectors: Vectors, labels: Labels, config: HogSvmConfig, seed: int) -> HogSvm:
    """Returns the baseline fitted to HOG vectors.

    Probabilities come from a multinomial logistic regression on the SVM's decisions about faces left
    out of its fit (3 folds), so that they are not the overconfident ones of faces it has memorised.
    Where the faces are too few for folds that each keep two emotions (``can_calibrate``), they come from
    the decisions as they are, and the emotions' shares.

    Args:
        vectors: Training HOG vectors [n, features].
        labels: [n]; at least two different.
        config: The settings.
        seed: Of the principal components' solver and the folds.
    """
    folds = _folds(labels, seed) if can_calibrate(labels) else []
    everything = np.arange(len(labels))
    fit = delayed(_fit_machine)
    with threadpool_limits(1, "blas"):  # or each machine's matrix products would fight for all cores
        machines: list[HogSvm] = Parallel(n_jobs=-1, prefer="threads")(  # libsvm frees the interpreter
            fit(vectors[kept], labels[kept], config, seed)
            for kept in (everything, *(kept for kept, _ in folds))
        )
    machine, *partial = machines
    if not folds:
        shares = np.unique(labels, return_counts=True)[1] / len(labels)
        return replace(machine, offsets=np.log(shares))
    decisions = np.zeros((len(labels), len(machine.classes)))
    for part, (_, left_out) in zip(partial, folds, strict=True):
        columns = np.searchsorted(machine.classes, part.classes)
        decisions[np.ix_(left_out, columns)] = part.decide(vectors[left_out])
    calibrator = LogisticRegression(max_iter=2000).fit(decisions, labels)
    weights, offsets = calibrator.coef_, calibrator.intercept_
    if len(machine.classes) == 2:  # scikit-learn keeps one row, the second class's
        weights = np.vstack([-weights, weights]) / 2
        offsets = np.array([-offsets[0], offsets[0]]) / 2
    return replace(machine, weights=weights, offsets=offsets)


def can_calibrate(labels: Labels) -> bool:
    """Returns whether two emotions have a face for each fold: then each fit shows both."""
    return int((np.bincount(labels) >= _FOLDS).sum()) >= 2


def _folds(labels: Labels, seed: int) -> list[tuple[Labels, Labels]]:
    with warnings.catch_warnings():  # it warns of emotions with fewer faces than folds
        warnings.simplefilter("ignore", UserWarning)
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
        return list(folds.split(labels, labels))


def _fit_machine(vectors: Vectors, labels: Labels, config: HogSvmConfig, seed: int) -> HogSvm:
    """Returns the baseline whose decisions are not calibrated yet."""
    components = min(config.components, *vectors.shape)
    with np.errstate(invalid="ignore"):  # equal pictures have no variance to explain a share of
        reducer = PCA(components, svd_solver="randomized", random_state=seed).fit(vectors)
    mean, axes = reducer.mean_.astype(np.float64), reducer.components_.astype(np.float64)
    points = (vectors - mean) @ axes.T
    gamma = config.gamma / (components * max(points.var(), _LEAST_VARIANCE))
    svm = SVC(C=config.c, gamma=gamma, cache_size=500).fit(points, labels)
    k = len(svm.classes_)
    sign = -1.0 if k == 2 else 1.0  # with two classes scikit-learn turns libsvm's sign round
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
