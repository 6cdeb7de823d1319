"""Face share: how much of a map is inside the face ellipse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_mlops.evaluation.explanation import HeatMaps

Numbers = NDArray[np.float64]  # shape [n], unless stated otherwise
Masks = NDArray[np.bool_]  # shape [n, side, side]

HALF_WIDTH, HALF_HEIGHT = 0.36, 0.46
"""Half axes of the face ellipse, as shares of the crop's side; the ellipse is centred in the crop."""


def face_ellipse(side: int) -> NDArray[np.bool_]:
    """Returns the mask [side, side] of the pixels whose centre is inside the face ellipse."""
    place = (np.arange(side) + 0.5) / side - 0.5
    return np.asarray(np.hypot(place[:, None] / HALF_HEIGHT, place[None] / HALF_WIDTH) <= 1)


def inside_ellipse(heats: HeatMaps) -> Numbers:
    """Returns each map's share inside the face ellipse [n], 0 to 1; nan for a blank map."""
    return share_inside(heats, np.broadcast_to(face_ellipse(heats.shape[-1]), heats.shape))


def share_inside(heats: HeatMaps, masks: Masks) -> Numbers:
    """Returns the share of each map inside its mask [n]; nan for a blank map."""
    whole = heats.sum((1, 2), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((heats * masks).sum((1, 2), dtype=np.float64) / whole)


def mean_of_known(values: Numbers) -> float:
    """Returns the mean of the finite values; nan if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
