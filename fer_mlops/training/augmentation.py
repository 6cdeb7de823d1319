"""Augmentation of training batches, as tensor operations that run on CPU and GPU."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from fer_mlops.config import AugmentConfig


class Augment(Protocol):
    """Augments a batch of training inputs."""

    def __call__(self, inputs: Tensor, generator: Generator, done: float = 1.0, /) -> Tensor:
        """Returns the faces [n, 1, h, w] in [0, 1] augmented; smaller with progressive resizing.

        ``generator`` is on the CPU; ``done`` is the share of the epochs before this one, 0 to 1.
        """


Mix = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]
"""Takes faces, labels [n] or class probabilities [n, classes], and a CPU generator; returns both."""


def unchanged(inputs: Tensor, _: Generator, __: float = 1.0) -> Tensor:
    """Returns the inputs unchanged."""
    return inputs


def make_augment(config: AugmentConfig) -> Augment:
    """Returns the augmentation that ``config`` describes; each face draws its own values."""

    def augment(images: Tensor, generator: Generator, done: float = 1.0) -> Tensor:
        side = training_side(images.shape[3], config.progressive_resize_start, done)
        images = _warp(images, side, config, generator)
        images = _light(images, config, generator)
        return _erase(images, config.random_erasing, generator) if config.random_erasing else images

    return augment


def unmixed(inputs: Tensor, targets: Tensor, _: Generator) -> tuple[Tensor, Tensor]:
    """Returns inputs and targets unchanged."""
    return inputs, targets


def make_mix(config: AugmentConfig, num_classes: int) -> Mix:
    """Returns a function that mixes each face, and its target, with another face of the batch.

    CutMix (arXiv 1905.04899) pastes a rectangle of the other face; mixup (arXiv 1710.09412) blends the
    remaining faces. Targets are mixed in the same proportion.
    """
    if not (config.mixup or config.cutmix):
        return unmixed

    def mix(images: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        shares = targets if targets.ndim == 2 else F.one_hot(targets, num_classes).float()
        kept = _kept(images, config, generator)
        own = kept.mean(dim=(1, 2, 3))[:, None]
        kept = kept.to(images)
        # batches are drawn at random, so the neighbour is as good as any other face
        mixed = kept * images + (1 - kept) * images.roll(1, 0)
        own = own.to(shares)
        return mixed, own * shares + (1 - own) * shares.roll(1, 0)

    return mix


def _kept(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Returns the share that each pixel keeps of its own face [n, 1, h, w]."""
    n, _, height, width = images.shape
    if config.mixup:
        # torch's Beta distribution does not accept a generator
        seed = int(torch.randint(2**62, (1,), generator=generator))
        blend = torch.from_numpy(np.random.default_rng(seed).beta(config.mixup, config.mixup, n)).float()
    else:
        blend = torch.ones(n)
    is_cut = torch.rand(n, generator=generator) < config.cutmix
    half = (torch.rand(n, generator=generator).sqrt() / 2).expand(2, n)  # for areas of equal chance
    inside = _rectangles(half, torch.rand(2, n, generator=generator), height, width)
    is_cut, blend = is_cut.view(n, 1, 1, 1), blend.view(n, 1, 1, 1)
    return torch.where(is_cut, (~inside).float(), blend)


# step of the image side, in pixels; share of the epochs after which the full side is used
_STEP, _GROWN = 4, 2 / 3


def training_side(full: int, start: float, done: float) -> int:
    """Returns the image side to train at, in pixels, after the share ``done`` of the epochs."""
    share = start + (1 - start) * min(1.0, done / _GROWN)
    return full if share >= 1 else min(full, max(_STEP, round(share * full / _STEP) * _STEP))


def _uniform(n: int, largest: float, generator: Generator) -> Tensor:
    """Returns [n] values in [-largest, largest)."""
    return (torch.rand(n, generator=generator) * 2 - 1) * largest


def _warp(images: Tensor, side: int, config: AugmentConfig, generator: Generator) -> Tensor:
    """Returns each face flipped, rotated, scaled and shifted by one affine map, at ``side`` pixels."""
    n = len(images)
    angle = _uniform(n, math.radians(config.rotation), generator)
    scale = 1 + _uniform(n, config.zoom, generator)
    shift = 2 * _uniform(2 * n, config.shift, generator).view(n, 2)
    mirrored = (torch.rand(n, generator=generator) < 0.5) & config.flip
    sign = torch.where(mirrored, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack([sign * cos, -sin, shift[:, 0], sign * sin, cos, shift[:, 1]], dim=1)
    grid = _grid(maps.view(n, 2, 3).to(images.device), side, side).to(images.dtype)
    # bilinear sampling skips no pixel down to half the size
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _grid(maps: Tensor, height: int, width: int) -> Tensor:
    """Returns the sampling grid [n, height, width, 2]: ``F.affine_grid`` in a tenth of its time."""
    x = (2 * torch.arange(width, device=maps.device) + 1) / width - 1
    y = (2 * torch.arange(height, device=maps.device) + 1) / height - 1
    by_x, by_y, shift = maps[..., None, None].unbind(2)
    return (by_x * x + (by_y * y[:, None] + shift)).permute(0, 2, 3, 1)


def _light(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    n = len(images)
    contrast = (1 + _uniform(n, config.contrast, generator)).view(n, 1, 1, 1).to(images)
    brightness = _uniform(n, config.brightness, generator).view(n, 1, 1, 1).to(images)
    mean = images.mean(dim=(2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + brightness).clamp_(0, 1)


def _erase(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Fills one rectangle of 2 to 20% of a face's area with its mean (arXiv 1708.04896)."""
    n, _, height, width = images.shape
    chosen = torch.rand(n, generator=generator) < probability
    area = 0.02 + 0.18 * torch.rand(n, generator=generator)
    aspect = torch.exp(_uniform(n, math.log(3.0), generator))
    half = torch.stack([(area * aspect).sqrt() / 2, (area / aspect).sqrt() / 2])
    centre = torch.rand(2, n, generator=generator)
    inside = _rectangles(half, centre, height, width) & chosen.view(n, 1, 1, 1)
    return torch.where(inside.to(images.device), images.mean(dim=(2, 3), keepdim=True), images)


def _rectangles(half: Tensor, centre: Tensor, height: int, width: int) -> Tensor:
    """Returns the pixels inside each rectangle, bool [n, 1, height, width].

    ``half`` is half of its height and width, ``centre`` its row and column: [2, n], image shares.
    """
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    inside_rows = (rows - centre[0, :, None]).abs() <= half[0, :, None]
    inside_columns = (columns - centre[1, :, None]).abs() <= half[1, :, None]
    return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]
