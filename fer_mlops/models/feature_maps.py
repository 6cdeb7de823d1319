"""Structure of a backbone, measured with a blank face: features, stages, the layer to explain."""

from __future__ import annotations

import bisect
import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import torch
from torch import Tensor, nn

from fer_mlops.errors import ConfigError

# smallest side of the blank face, in pixels: on a smaller one the last maps are single points, from
# which no stride can be computed
_SMALLEST = 64
# Largest number of halvings before the layer that Grad-CAM explains, which is stride 16. The last layer
# has stride 32, so that a face of 96 px gives a map of only 3 x 3.
_EXPLAINED = 4
# parameters up to which a backbone on torch's `meta` device is measured in memory instead: on that
# device the first convolution imports torch's compiler, which takes as long as torch
_SMALL = 50_000_000


@dataclass(frozen=True)
class Survey:
    """Structure of a backbone. Its stages are the parts between two halvings of the image."""

    num_features: int
    explained: str
    """Name of the last layer whose map has a stride of at most 16."""
    num_stages: int
    stages: Mapping[str, int]
    """Stage of every called module by name, from 0; in call order, stages never decrease."""

    def stage_of(self, name: str) -> int:
        """Returns the stage of the module or parameter of this name."""
        while name and name not in self.stages:
            name = name.rpartition(".")[0]
        return self.stages.get(name, self.num_stages - 1)


@dataclass(frozen=True)
class _Call:
    name: str
    module: nn.Module
    halvings: int | None
    """Number of times that the returned map halves the face's side; None if it is not a map."""

    @property
    def has_weights(self) -> bool:
        return next(self.module.parameters(recurse=False), None) is not None


@torch.no_grad()
def survey(backbone: nn.Module, name: str, side: int) -> Survey:
    """Returns the structure of ``backbone`` for faces of ``side`` pixels; sets evaluation mode.

    Raises:
        ConfigError: The backbone cannot take faces of this size, or, like a transformer, has no feature
            maps.
    """
    backbone.eval()
    try:
        with _measurable(backbone) as network:
            num_features, calls = _calls(network, side)
            if side < _SMALLEST:
                _, calls = _calls(network, _SMALLEST)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"backbone {name!r} cannot take faces of {side} pixels: {str(error).splitlines()[0]}; set "
            "transfer.image_size, or choose another --backbone"
        ) from error
    depths = list(accumulate((call.halvings or 0 for call in calls), max))
    explained = _explained(backbone, calls, depths)
    first = next(call.name for call in calls if call.has_weights)
    if explained in ("", first):
        raise ConfigError(
            f"backbone {name!r} works on patches and has no feature map to explain; choose a "
            "convolutional --backbone, such as resnet50, convnext_tiny or mobilenet_v3_large"
        )
    starts = sorted({depth for call, depth in zip(calls, depths, strict=True) if call.has_weights})
    stages: dict[str, int] = {}
    for call, depth in zip(calls, depths, strict=True):
        stages.setdefault(call.name, max(bisect.bisect(starts, depth) - 1, 0))
    return Survey(num_features, explained, len(starts), stages)


def pooled(features: Tensor) -> Tensor:
    """Returns the spatial means [n, c] of maps [n, c, h, w]; vectors [n, c] are returned unchanged."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def _explained(backbone: nn.Module, calls: list[_Call], depths: list[int]) -> str:
    """Returns the name of the last layer of stride at most 16 outside any block, or an empty text.

    ``depths`` is the number of halvings of the face at the end of each call.
    """
    rows = {name for name, module in backbone.named_modules() if isinstance(module, nn.Sequential)}

    def is_block(name: str) -> bool:
        parents = name.split(".")[:-1]
        return all(".".join(parents[: n + 1]) in rows for n in range(len(parents)))

    shown = [
        call.name
        for call, depth in zip(calls, depths, strict=True)
        if call.halvings is not None and depth <= _EXPLAINED
    ]
    return next((name for name in reversed(shown) if is_block(name)), "")


@contextmanager
def _measurable(backbone: nn.Module) -> Iterator[nn.Module]:
    """Yields the backbone, or a copy in memory of a small one on torch's ``meta`` device."""
    saved = backbone.state_dict()
    tensors = dict([*backbone.named_parameters(), *backbone.named_buffers()])
    is_meta = tensors.keys() == saved.keys() and all(tensor.is_meta for tensor in saved.values())
    if not is_meta or sum(tensor.numel() for tensor in saved.values()) > _SMALL:
        yield backbone
        return
    with torch.device("cpu"):
        for name, tensor in saved.items():  # in place, because the dict holds each layer's version
            saved[name] = torch.empty(tensor.shape, dtype=tensor.dtype)  # only shapes are measured
        copied = copy.deepcopy(backbone)
        copied.load_state_dict(saved, assign=True)
        yield copied


def _calls(backbone: nn.Module, side: int) -> tuple[int, list[_Call]]:
    """Returns the number of features of a face of ``side`` pixels, and the calls as they end."""
    calls: list[_Call] = []

    def note(name: str, module: nn.Module, _: object, output: object) -> None:
        calls.append(_Call(name, module, _halvings(output, side)))

    with calls_noted(backbone, note):
        features = pooled(backbone(torch.zeros(1, 3, side, side)))
    return features.shape[1], calls


@contextmanager
def calls_noted(
    network: nn.Module, note: Callable[[str, nn.Module, object, object], None]
) -> Iterator[None]:
    """Calls ``note`` with name, module, inputs and output whenever a module inside the network ends."""
    named = [(name, module) for name, module in network.named_modules() if name]
    hooks = [module.register_forward_hook(partial(note, name)) for name, module in named]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _halvings(output: object, side: int) -> int | None:
    is_map = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]
    if not is_map or output.shape[3] == 1:  # type: ignore[attr-defined]
        return None
    return max(0, round(math.log2(side / output.shape[3])))  # type: ignore[attr-defined]
