"""Baseline: HOG, principal components, RBF support vector machine, calibrated decisions.

The baseline is stored as plain arrays: an ``.npz`` file without pickles. Its predictions need no
scikit-learn; ``hog_svm_fit`` fits it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_mlops.config import HogSvmConfig
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, ModelError
from fer_mlops.images.arrays import Images
from fer_mlops.models.calibration import log_softmax
from fer_mlops.models.hog import Vectors, hog_vectors

Array = NDArray[np.float64]
# largest unpacked size of a file, in bytes; a baseline of 100,000 faces has 300 MB
_MOST_BYTES = 2 << 30


@dataclass(frozen=True, kw_only=True)
class HogSvm:
    """A fitted baseline; ``k`` is the number of trained emotions, ``s`` that of support vectors."""

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
    """[k, k]; map from decisions to log-odds, fitted out of fold."""
    offsets: Array
    """[k]"""
    classes: NDArray[np.int64]
    """[k]; ascending labels."""

    def logits(self, pixels: Images) -> NDArray[np.float32]:
        """Returns log-probabilities [n, 7] of gray faces uint8 [n, side, side]."""
        cells, orientations = self.cells.tolist(), int(self.orientations)
        is_symmetric = bool(self.mirror)
        vectors = hog_vectors(pixels, cells=cells, orientations=orientations, is_symmetric=is_symmetric)
        return self.logits_of_vectors(vectors)

    def logits_of_vectors(self, vectors: Vectors) -> NDArray[np.float32]:
        """Returns log-probabilities [n, 7] of HOG vectors; emotions without training faces get -30."""
        decisions = self.decide(vectors)
        seen = log_softmax(decisions @ self.weights.T + self.offsets)
        logits = np.full((len(vectors), len(EMOTIONS)), -30.0)
        logits[:, self.classes] = seen
        return logits.astype(np.float32)

    def decide(self, vectors: Vectors) -> Array:
        """Returns one-against-rest decisions [n, k], as SVC(decision_function_shape='ovr')."""
        points = (vectors - self.mean) @ self.axes.T
        # |a - b|^2 = |a|^2 + |b|^2 - 2ab needs one matrix product instead of an array [n, support, axes]
        squares = (points**2).sum(1)[:, None] + (self.vectors**2).sum(1) - 2 * points @ self.vectors.T
        kernel = np.exp(-float(self.gamma) * squares)
        starts = np.concatenate([[0], np.cumsum(self.num_support)])
        k = len(self.classes)
        votes, confidences = np.zeros((len(points), k)), np.zeros((len(points), k))
        for pair, (i, j) in enumerate(combinations(range(k), 2)):
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
        # as scikit-learn: confidences break ties of votes but never outweigh a whole vote
        shrunk: Array = confidences / (3 * (np.abs(confidences) + 1))
        return votes + shrunk

    def save(self, path: Path) -> None:
        """Writes the arrays to ``path``, an ``.npz``."""
        np.savez_compressed(path, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, path: Path, image_size: int) -> HogSvm:
        """Returns the baseline saved at ``path`` for faces of ``image_size`` pixels.

        The file need not be trusted: nothing in it is unpickled.

        Raises:
            ModelError: The file is missing, or its arrays are not those of a baseline.
        """
        try:
            # sizes are read before anything is unpacked, against a small file that unpacks to gigabytes
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > _MOST_BYTES:
                raise ModelError(f"{path.name} unpacks to {unpacked:,} bytes, over {_MOST_BYTES:,}")
            with np.load(path, allow_pickle=False) as arrays:
                machine = cls(**{f.name: arrays[f.name] for f in fields(cls)})
        except ModelError:
            raise
        except Exception as error:  # readers raise any exception for a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(f"cannot read a baseline from {path.name}: {reason}") from error
        machine.check(image_size)
        return machine

    def check(self, image_size: int) -> None:
        """Raises ModelError unless all arrays are finite and have matching types and shapes."""
        k, s = len(np.atleast_1d(self.classes)), len(np.atleast_1d(self.vectors))
        c, f = len(np.atleast_1d(self.axes)), len(np.atleast_1d(self.mean))
        shapes: dict[str, tuple[int, ...]] = {
            "cells": (len(np.atleast_1d(self.cells)),),
            **dict.fromkeys(("orientations", "mirror", "gamma"), ()),
            "mean": (f,),
            "axes": (c, f),
            "vectors": (s, c),
            "duals": (k - 1, s),
            "intercepts": (k * (k - 1) // 2,),
            **dict.fromkeys(("num_support", "offsets", "classes"), (k,)),
            "weights": (k, k),
        }
        whole = {"cells": "i", "orientations": "i", "mirror": "b", "num_support": "i", "classes": "i"}
        for name, shape in shapes.items():
            array, kind = getattr(self, name), whole.get(name, "f")
            if array.shape != shape or array.dtype.kind != kind or not np.isfinite(array).all():
                raise ModelError(f"{name} of the baseline cannot be {array.dtype} of {array.shape}")
        is_ordered = bool(self.classes[0] >= 0 and self.classes[-1] < len(EMOTIONS))
        if not (2 <= k <= len(EMOTIONS) and is_ordered and (np.diff(self.classes) > 0).all()):
            raise ModelError(f"classes of the baseline cannot be {self.classes[:9].tolist()}")
        if (self.num_support < 0).any() or self.num_support.sum() != s or self.gamma <= 0:
            raise ModelError("num_support or gamma of the baseline does not fit its support vectors")
        cells, orientations = tuple(self.cells.tolist()), int(self.orientations)
        try:
            HogSvmConfig(image_size=image_size, cells=cells, orientations=orientations)
        except ConfigError as error:
            raise ModelError(str(error)) from error
        blank = np.zeros((1, image_size, image_size), np.uint8)
        described = hog_vectors(blank, cells=cells, orientations=orientations).shape[1]
        if described != f:
            raise ModelError(
                f"the baseline needs {f} features, but faces of {image_size} px have {described}"
            )
