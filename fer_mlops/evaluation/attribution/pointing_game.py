"""Pointing game: whether a map's peak is in the regions that show the emotion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer_mlops.emotions import EMOTIONS
from fer_mlops.evaluation.attribution.face_share import Masks, mean_of_known, share_inside
from fer_mlops.evaluation.explanation import HeatMaps
from fer_mlops.metrics.classification import Labels


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Hit rates of maps on synthetic faces, whose emotion has known regions; neutral faces have none."""

    num_faces: int
    peak: float
    """Share of the faces whose map has its peak in the regions of their action units."""
    peak_by_chance: float
    """Hit rate of a random pixel: the regions' mean share of the image."""
    peak_of_others: float
    """Hit rate of the peaks of faces that show another emotion."""
    mass: float
    """Mean share of the map inside the regions; by chance, ``peak_by_chance``."""
    by_emotion: dict[str, tuple[int, float, float]]
    """Number of faces, ``peak`` and ``peak_by_chance`` of each emotion with faces."""


def hit_rates(heats: HeatMaps, masks: Masks, emotions: Labels) -> Hits | None:
    """Returns the hit rates of maps [n, side, side]; None if no face has both a map and a region.

    ``masks`` [n, side, side] are the regions that show the label in ``emotions`` [n].
    """
    kept = masks.any((1, 2)) & heats.any((1, 2))
    if not kept.any():
        return None
    heats, masks, emotions = heats[kept], masks[kept], emotions[kept]
    flat = masks.reshape(len(masks), -1)
    peaks = heats.reshape(len(heats), -1).argmax(1)
    on_each = flat[:, peaks]  # [i, j]: whether the peak of face j is in the regions of face i
    hit, area = on_each.diagonal(), flat.mean(1)
    differ = emotions[:, None] != emotions[None]
    return Hits(
        num_faces=len(heats),
        peak=float(hit.mean()),
        peak_by_chance=float(area.mean()),
        peak_of_others=mean_of_known(np.where(differ, on_each, np.nan).ravel()),
        mass=float(share_inside(heats, masks).mean()),
        by_emotion={
            EMOTIONS[label]: (int(own.sum()), float(hit[own].mean()), float(area[own].mean()))
            for label in np.unique(emotions)
            for own in [emotions == label]
        },
    )
