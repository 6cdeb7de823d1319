"""Parameter randomisation: whether a map depends on the trained weights."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.metrics import structural_similarity
from torch import nn

from fer_mlops.evaluation.attribution.face_share import Numbers, mean_of_known
from fer_mlops.evaluation.explanation import HeatMaps, Method, explain
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.hog_svm import HogSvm

_CASCADE = 4  # number of steps in which the network's layers are randomised, from the top


@dataclass(frozen=True, kw_only=True)
class Sanity:
    """Similarity of the maps to those of the same classifier with shuffled weights.

    The model parameter randomisation test of Adebayo et al. (arXiv 1810.03292): maps that stay similar
    show edges of the image, nothing that was trained.
    """

    randomised: tuple[float, ...]
    """Share of the layers that are randomised at each step, from the top; the last is 1."""
    cascade: tuple[float, ...]
    """Mean Spearman correlation of the maps at each step, -1 to 1."""
    rank_correlation: float
    """Mean Spearman correlation with all layers randomised, -1 to 1."""
    similarity: float
    """Structural similarity (SSIM) of the maps with all layers randomised, -1 to 1."""


def check_sanity(
    classifier: Classifier,
    pixels: NDArray[np.uint8],
    targets: Labels,
    heats: HeatMaps,
    layer: str | None,
    method: Method,
    seed: int,
) -> Sanity | None:
    """Returns the similarity to the maps of shuffled weights; None if the weights cannot be shuffled.

    ``heats`` [n, side, side] are the maps of these faces by the same classifier, layer and method.
    """
    steps = _CASCADE if method == "gradcam" else 1  # occlusion is slow
    shares = tuple((np.arange(1, steps + 1) / steps).tolist())
    alike, maps = [], heats
    for share in shares:
        other = randomised(classifier, share, seed)
        if other is None:
            return None
        maps, _ = explain(other, pixels, targets, layer=layer, method=method)
        alike.append(mean_of_known(rank_correlation(heats, maps)))
    ssim: Any = structural_similarity  # scikit-image's has no types
    return Sanity(
        randomised=shares,
        cascade=tuple(alike),
        rank_correlation=alike[-1],
        similarity=float(ssim(heats, maps, channel_axis=0, data_range=1.0)),
    )


def randomised(classifier: Classifier, share: float, seed: int) -> Classifier | None:
    """Returns a copy of a network or baseline with the weights of its top layers shuffled; else None.

    ``share`` is that of the network's layers, in (0, 1]; of the baseline, the weights of the support
    vectors are shuffled.
    """
    scorer = classifier.scorer
    if isinstance(scorer, HogSvm):
        mixed = np.random.default_rng(seed).permutation(scorer.duals, axis=1)
        return dataclasses.replace(classifier, scorer=dataclasses.replace(scorer, duals=mixed))
    if not isinstance(scorer, NetworkScorer):
        return None
    network = copy.deepcopy(scorer.network)
    layers = [m for m in network.modules() if next(m.parameters(recurse=False), None) is not None]
    for layer in layers[len(layers) - round(share * len(layers)) :]:
        _shuffle(layer, torch.Generator().manual_seed(seed))
    return dataclasses.replace(classifier, scorer=dataclasses.replace(scorer, network=network))


@torch.no_grad()
def _shuffle(layer: nn.Module, generator: torch.Generator) -> None:
    for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
        # in another order, so that the network keeps its scale and loses all that it was trained on
        order = torch.randperm(tensor.numel(), generator=generator)
        tensor.copy_(tensor.flatten()[order.to(tensor.device)].view(tensor.shape))


def rank_correlation(maps: HeatMaps, others: HeatMaps) -> Numbers:
    """Returns Spearman's correlation of the maps, pair by pair [n]; nan if a map is constant."""
    ranks = [rankdata(each.reshape(len(each), -1), axis=1) for each in (maps, others)]
    one, two = (each - each.mean(1, keepdims=True) for each in ranks)
    with np.errstate(invalid="ignore"):
        return np.asarray((one * two).sum(1) / np.sqrt((one**2).sum(1) * (two**2).sum(1)))
