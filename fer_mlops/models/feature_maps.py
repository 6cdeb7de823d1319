"""What one blank face shows of a backbone: its features, its stages, the layer to explain."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from fer_mlops.errors import ConfigError

_SMALLEST = 64
"""Side, in pixels, below which the last maps are single points and tell no stride."""
_EXPLAINED = 4
"""Halvings of the face before the map that Grad-CAM weighs: stride 16. The very last has stride 32,
which on a face of 96 px is a map of 3 x 3."""


@dataclass(frozen=True)
class Survey:
    """A backbone's inner order. Its stages are the parts between two halvings of the image."""

    num_features: int
    explained: str
    """Name of the last layer whose map has a stride of 16 at most."""
    num_stages: int
    stages: Mapping[str, int]
    """Stage from 0 of every module that was called, by name; it never falls from call to call."""

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
    """Of the face's side in the map that was returned; None where that is no map."""

    @property
    def has_weights(self) -> bool:
        return next(self.module.parameters(recurse=False), None) is not None


@torch.no_grad()
def survey(backbone: nn.Module, name: str, side: int) -> Survey:
    """Returns what a face of ``side`` pixels meets in ``backbone``, which is put in evaluation mode.

    Raises:
        ConfigError: It cannot take faces of this size, or has no feature maps, as a transformer.
    """
    backbone.eval()
    try:
        num_features = pooled(backbone(torch.zeros(1, 3, side, side))).shape[1]
        calls = _calls(backbone, max(side, _SMALLEST))
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
    """Returns the means of maps [n, c, h, w], and vectors [n, c] as they are."""
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def _explained(backbone: nn.Module, calls: list[_Call], depths: list[int]) -> str:
    """Returns the last layer of stride 16 at most that is no part of a block, or nothing.

    Args:
        backbone: What was called.
        calls: In the order in which they ended.
        depths: How often the face had been halved when each ended.
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


def _calls(backbone: nn.Module, side: int) -> list[_Call]:
    """Returns the calls that a face of ``side`` pixels causes, in the order in which they end."""
    calls: list[_Call] = []

    def noting(name: str) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, _: object, output: object) -> None:
            calls.append(_Call(name, module, _halvings(output, side)))

        return note

    hooks = [m.register_forward_hook(noting(name)) for name, m in backbone.named_modules() if name]
    try:
        backbone(torch.zeros(1, 3, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def _halvings(output: object, side: int) -> int | None:
    is_map = isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]
    if not is_map or output.shape[3] == 1:  # type: ignore[attr-defined]
        return None
    return max(0, round(math.log2(side / output.shape[3])))  # type: ignore[attr-defined]
