"""Where a classifier looked: (classifier, faces) to heat maps in [0, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from numpy.typing import NDArray

from fer_mlops.classifier import Classifier, NetworkScorer
from fer_mlops.datasets.table import Labels
from fer_mlops.features import to_images
from fer_mlops.pixels import Pixels

HeatMaps = NDArray[np.float32]
"""Shape [n, side, side]; 0 nothing, 1 the strongest of that face."""

_AT_ONCE = 512
"""Hidden faces to classify at a time: a few at a time take the baseline twenty times as long."""
_WINDOWS = 8
"""Occluding windows along each side; each covers a quarter of the side."""


def explain(classifier: Classifier, pixels: Pixels, targets: Labels) -> tuple[HeatMaps, str]:
    """Returns the heat map of each face for its target emotion, and the method's name.

    Networks get Grad-CAM; the baseline, and a graph exported for serving, occlusion.

    Args:
        classifier: Its network, if any, is left in evaluation mode and without hooks.
        pixels: Prepared faces, uint8 [n, side, side].
        targets: The emotion to explain, [n].
    """
    scorer = classifier.scorer
    if isinstance(scorer, NetworkScorer) and scorer.architecture is not None:
        return grad_cam(scorer, pixels, targets), "gradcam"
    return occlusion(classifier, pixels, targets), "occlusion"


def grad_cam(scorer: NetworkScorer, pixels: Pixels, targets: Labels) -> HeatMaps:
    """Returns Grad-CAM at the network's ``explained_layer`` (arXiv 1610.02391), by captum."""
    network: Any = scorer.network
    network.eval()
    with torch.enable_grad():
        images = to_images(pixels, scorer.device).requires_grad_()  # or frozen layers would have none
        # a network that also looks at the mirror image would mix two maps; score() does not
        attribution = LayerGradCam(
            getattr(network, "score", network), network.explained_layer
        ).attribute(images, target=torch.from_numpy(targets).to(scorer.device), relu_attributions=True)
    network.zero_grad(set_to_none=True)
    side = pixels.shape[-1]
    wide = F.interpolate(attribution.detach(), (side, side), mode="bilinear", align_corners=False)
    return _normalise(wide[:, 0].float().cpu().numpy())


def occlusion(classifier: Classifier, pixels: Pixels, targets: Labels) -> HeatMaps:
    """Returns how far the target's probability falls when a gray window hides each place.

    Zeiler and Fergus (arXiv 1311.2901); windows overlap, and a pixel takes their mean.
    """
    n, side, _ = pixels.shape
    window = side // 4
    starts = np.linspace(0, side - window, _WINDOWS).round().astype(int)
    corners = [(top, left) for top in starts for left in starts]
    rows = np.arange(n)
    whole = classifier.predict_proba(pixels)[rows, targets]
    gray = np.median(pixels, axis=(1, 2)).astype(np.uint8)[:, None, None]
    fall, covered = np.zeros((n, side, side)), np.zeros((side, side))
    at_once = max(1, _AT_ONCE // max(n, 1))
    for first in range(0, len(corners), at_once):
        places = [
            (slice(top, top + window), slice(left, left + window))
            for top, left in corners[first : first + at_once]
        ]
        hidden = np.repeat(np.asarray(pixels)[None], len(places), axis=0)
        for one, place in zip(hidden, places, strict=True):
            one[:, place[0], place[1]] = gray
        left_over = classifier.predict_proba(hidden.reshape(-1, side, side)).reshape(len(places), n, -1)
        for probabilities, place in zip(left_over, places, strict=True):
            fall[:, place[0], place[1]] += (whole - probabilities[rows, targets])[:, None, None]
            covered[place] += 1
    return _normalise((fall / np.maximum(covered, 1)).astype(np.float32))


def _normalise(maps: HeatMaps) -> HeatMaps:
    """Returns the maps without negative parts, each scaled so that its largest value is 1."""
    positive = np.maximum(maps, 0)
    largest = positive.max(axis=(1, 2), keepdims=True)
    return np.asarray(positive / np.where(largest > 0, largest, 1), dtype=np.float32)
