"""Heat maps in [0, 1] of the places that supported an emotion: Grad-CAM and occlusion."""

from __future__ import annotations

import copy
import difflib
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import LayerGradCam
from numpy.typing import NDArray
from torch import Tensor, nn

from fer_mlops.errors import ConfigError
from fer_mlops.images.arrays import Images
from fer_mlops.metrics.classification import Labels
from fer_mlops.models.base import to_images
from fer_mlops.models.classifier import Classifier, NetworkScorer
from fer_mlops.models.feature_maps import calls_noted

HeatMaps = NDArray[np.float32]
"""Shape [n, side, side]; 0 is no support, 1 the strongest pixel of that face."""
Method = Literal["gradcam", "occlusion"]

_BATCH = 64  # batch size of Grad-CAM, whose gradients need memory
# batch size of occluded faces: with small batches the baseline takes twenty times as long
_AT_ONCE = 512
_WINDOWS = 8  # occluding windows along each side; each covers a quarter of the side
_MOST_NAMES = 24  # layers that an error message lists


def explain(
    classifier: Classifier,
    pixels: Images,
    targets: Labels,
    *,
    layer: str | None = None,
    method: Method | None = None,
) -> tuple[HeatMaps, Method]:
    """Returns the heat map of each face for its target emotion, and the method's name.

    Args:
        classifier: Classifier to explain; not changed.
        pixels: Prepared faces, uint8 [n, side, side].
        targets: Label of the emotion to explain, [n].
        layer: Layer for Grad-CAM, one of ``feature_maps``; None for the network's own choice.
        method: None for Grad-CAM if the classifier has gradients, else occlusion.

    Raises:
        ConfigError: Grad-CAM is requested for a classifier without gradients or a layer without a
            feature map, or a layer is given for occlusion.
    """
    chosen = method or default_method(classifier)
    if chosen == "gradcam":
        return grad_cam(_network_of(classifier), pixels, targets, layer), chosen
    if layer is not None:
        raise ConfigError(
            f"layer {layer!r} is for Grad-CAM, but {classifier.family} is explained by occlusion, which "
            "uses no layer; leave one out"
        )
    return occlusion(classifier, pixels, targets), chosen


def default_method(classifier: Classifier) -> Method:
    """Returns Grad-CAM for networks; occlusion for the baseline and for an ONNX file."""
    return "gradcam" if isinstance(classifier.scorer, NetworkScorer) else "occlusion"


def _network_of(classifier: Classifier) -> NetworkScorer:
    if not isinstance(classifier.scorer, NetworkScorer):
        raise ConfigError(
            f"gradcam needs the gradients of a network, and this {classifier.family} classifier has "
            "none; use the method occlusion"
        )
    return classifier.scorer


def grad_cam(
    scorer: NetworkScorer, pixels: Images, targets: Labels, layer: str | None = None
) -> HeatMaps:
    """Returns Grad-CAM maps (arXiv 1610.02391), computed by captum in batches; see ``explain``.

    The network is not changed, so other threads may use it at the same time.

    Raises:
        ConfigError: There is no such layer, or it has no feature map.
    """
    scorer = _twin(scorer)
    network: Any = scorer.network
    side = pixels.shape[-1]
    weighed = network.explained_layer if layer is None else _layer(scorer, side, layer)
    cam = LayerGradCam(_score_of(network), weighed)
    parts = []
    for start in range(0, len(pixels), _BATCH):
        rows = slice(start, start + _BATCH)
        with torch.enable_grad():
            images = to_images(pixels[rows], scorer.device)
            images.requires_grad_()  # otherwise frozen layers would have no gradients
            attribution = cam.attribute(
                images, target=torch.from_numpy(targets[rows]).to(scorer.device), relu_attributions=True
            )
        wide = F.interpolate(attribution.detach(), (side, side), mode="bilinear", align_corners=False)
        parts.append(wide[:, 0].float().cpu().numpy())
    return _normalise(np.concatenate([*parts, np.zeros((0, side, side), np.float32)]))


def _twin(scorer: NetworkScorer) -> NetworkScorer:
    """Returns a copy in evaluation mode that shares the weights but not the hooks, for thread safety."""
    network = scorer.network
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return NetworkScorer(copy.deepcopy(network, shared).eval(), scorer.architecture)


def _score_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Returns the scoring function without mirror averaging, which would mix two maps into one."""
    return getattr(network, "score", network)


@torch.no_grad()
def feature_maps(scorer: NetworkScorer, side: int) -> dict[str, tuple[int, int]]:
    """Returns (height, width) of each layer that Grad-CAM can use, by name, in the network's order.

    These layers have several channels and more than one position, and run once per face.
    """
    network = scorer.network.eval()
    maps: dict[str, tuple[int, int]] = {}
    calls: Counter[str] = Counter()

    def note(name: str, _: nn.Module, __: object, output: object) -> None:
        calls[name] += 1
        if isinstance(output, Tensor) and output.ndim == 4:
            channels, height, width = output.shape[1:]
            if channels > 1 and height * width > 1:
                maps[name] = (height, width)

    with calls_noted(network, note):
        _score_of(network)(torch.zeros(1, 1, side, side, device=scorer.device))
    # in the network's order, while the calls end with the outermost module
    return {name: maps[name] for name, _ in network.named_modules() if calls[name] == 1 and name in maps}


def _layer(scorer: NetworkScorer, side: int, name: str) -> nn.Module:
    maps = feature_maps(scorer, side)
    if name in maps:
        return scorer.network.get_submodule(name)
    near = difflib.get_close_matches(name, maps, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    listed: list[str] = []
    for depth in sorted({known.count(".") for known in maps}):  # deep networks have hundreds of layers
        down_to = [known for known in maps if known.count(".") <= depth]
        listed = down_to if not listed or len(down_to) <= _MOST_NAMES else listed
    shown = ", ".join(f"{known} ({maps[known][0]} x {maps[known][1]})" for known in listed)
    more = f", or one of the {len(maps) - len(listed)} inside them" if len(listed) < len(maps) else ""
    raise ConfigError(
        f"layer {name!r} has no feature map that Grad-CAM could use; {guess}choose {shown}{more}"
    )


def occlusion(classifier: Classifier, pixels: Images, targets: Labels) -> HeatMaps:
    """Returns how far the target's probability falls when a gray window hides each place.

    Zeiler and Fergus (arXiv 1311.2901). Windows overlap; each pixel gets their mean.
    """
    # captum 0.9's Occlusion takes one stride for all windows, so at most sides the last window would
    # be cut off and the border's pixels measured with a smaller one. It also takes 5 to 9 times as long.
    n, side, _ = pixels.shape
    window = side // 4
    starts = np.linspace(0, side - window, _WINDOWS).round().astype(int)
    corners = [(top, left) for top in starts for left in starts]
    rows = np.arange(n)
    whole = classifier.predict_proba(pixels)[rows, targets]
    # the face's own gray: a black window would add edges of its own
    gray = np.median(pixels, axis=(1, 2)).astype(np.uint8)[:, None, None]
    fall, covered = np.zeros((n, side, side)), np.zeros((side, side))
    at_once = max(1, _AT_ONCE // max(n, 1))
    for first in range(0, len(corners), at_once):
        places = [
            (slice(top, top + window), slice(left, left + window))
            for top, left in corners[first : first + at_once]
        ]
        hidden = np.repeat(np.asarray(pixels)[None], len(places), axis=0)
        for faces, place in zip(hidden, places, strict=True):
            faces[:, place[0], place[1]] = gray
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
