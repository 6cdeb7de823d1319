"""Deletion and insertion: how the prediction changes when the pixels that a map marks go or come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from fer_mlops.evaluation.attribution.face_share import Numbers
from fer_mlops.evaluation.explanation import HeatMaps
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier

_STEPS = 20  # number of steps in which all pixels are removed or inserted
# standard deviation of the blur that replaces removed pixels, as a share of the side; it leaves no
# expression
_BLUR = 1 / 8
_COARSE = 6  # cells along the side of a random map; makes it as smooth as Grad-CAM's


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Probability of the explained emotion as pixels are removed or inserted, strongest first.

    Deletion and insertion of Petsiuk et al. (arXiv 1806.07421), between the face and its blur. The
    deletion curve of an informative map is below that of an equally smooth random map, its insertion
    curve above.
    """

    shares: tuple[float, ...]
    """Share of the pixels at each step, 0 to 1."""
    deletion: tuple[float, ...]
    """Mean probability over faces after that share was blurred."""
    insertion: tuple[float, ...]
    """Mean probability over faces after that share was put back into the blurred face."""
    random_deletion: tuple[float, ...]
    """``deletion`` in random order; reversed, it is the random insertion."""
    deletion_area: float
    """Area under ``deletion``; lower is better."""
    insertion_area: float
    """Area under ``insertion``; higher is better."""
    random_area: float
    """Area under the random curve, the same for deletion and insertion."""
    deletion_wins: float
    """Share of the faces whose deletion area is below that of the random map."""
    insertion_wins: float
    """Share of the faces whose insertion area is above that of the random map."""


def remove_and_insert(
    classifier: Classifier, pixels: NDArray[np.uint8], targets: Labels, heats: HeatMaps, *, seed: int
) -> Removal:
    """Returns the deletion and insertion curves of the maps, and those of smooth random maps.

    ``heats`` [n, side, side] are the maps of these faces [n, side, side] for the emotions ``targets``.
    """
    random = _smooth_noise(heats.shape, np.random.default_rng(seed))
    # equal pixels, such as those of a blank map, follow the random order
    rank, random_rank = _ranks(heats + 1e-6 * random), _ranks(random)
    blurred = gaussian_filter(pixels, (0, _BLUR * pixels.shape[-1], _BLUR * pixels.shape[-1]))

    def predict(*stages: NDArray[np.uint8]) -> Numbers:
        probabilities = classifier.predict_proba(np.concatenate(stages))
        followed = probabilities[np.arange(len(probabilities)), np.tile(targets, len(stages))]
        return np.asarray(followed.reshape(len(stages), -1))

    shares = np.linspace(0, 1, _STEPS + 1)
    curves = np.zeros((len(shares), 3, len(pixels)))
    whole, gone = predict(pixels, blurred)
    # both ends are known without another prediction
    curves[0], curves[-1] = (whole, gone, whole), (gone, whole, gone)
    for step, share in enumerate(shares[1:-1], 1):
        is_marked = rank < share
        curves[step] = predict(
            np.where(is_marked, blurred, pixels),
            np.where(is_marked, pixels, blurred),
            np.where(random_rank < share, blurred, pixels),
        )
    deletion, insertion, by_chance = curves.transpose(1, 0, 2)
    areas = [np.trapezoid(curve, shares, axis=0) for curve in (deletion, insertion, by_chance)]
    return Removal(
        shares=tuple(shares.tolist()),
        deletion=tuple(deletion.mean(1).tolist()),
        insertion=tuple(insertion.mean(1).tolist()),
        random_deletion=tuple(by_chance.mean(1).tolist()),
        deletion_area=float(areas[0].mean()),
        insertion_area=float(areas[1].mean()),
        random_area=float(areas[2].mean()),
        deletion_wins=float((areas[0] < areas[2]).mean()),
        insertion_wins=float((areas[1] > areas[2]).mean()),
    )


def _ranks(maps: Numbers) -> Numbers:
    """Returns each pixel's relative rank in its map, from 0 (strongest) to below 1."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1)
    ranks = np.empty(flat.shape)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None] / flat.shape[1], axis=1)
    return ranks.reshape(maps.shape)


def _smooth_noise(shape: tuple[int, ...], generator: np.random.Generator) -> Numbers:
    """Returns random maps [n, side, side] in [0, 1], without jumps between neighbouring pixels."""
    n, side, _ = shape
    coarse = generator.random((n, _COARSE, _COARSE))
    return np.asarray(zoom(coarse, (1, side / _COARSE, side / _COARSE), order=1))
