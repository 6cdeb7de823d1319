"""Variations of a batch of training faces, as tensor arithmetic: the same code on CPU and GPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from fer_mlops.config import AugmentConfig

Augment = Callable[[Tensor, Generator], Tensor]
"""Takes faces [n, 1, h, w] in [0, 1] and a CPU generator; returns the same shape and range."""


def unchanged(inputs: Tensor, _: Generator) -> Tensor:
    """Returns the inputs as they are."""
    return inputs


def make_augment(config: AugmentConfig) -> Augment:
    """Returns the augmentation that ``config`` describes; each face draws its own values."""

    def augment(images: Tensor, generator: Generator) -> Tensor:
        images = _warp(images, config, generator)
        images = _light(images, config, generator)
        return _erase(images, config.erase, generator) if config.erase else images

    return augment


def _uniform(n: int, largest: float, generator: Generator) -> Tensor:
    """Returns [n] values in [-largest, largest)."""
    return (torch.rand(n, generator=generator) * 2 - 1) * largest


def _warp(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    """Flips, turns, scales and shifts each face by one affine map; outside repeats the border."""
    n = len(images)
    angle = _uniform(n, math.radians(config.rotation), generator)
    scale = 1 + _uniform(n, config.zoom, generator)
    shift = 2 * _uniform(2 * n, config.shift, generator).view(n, 2)
    mirrored = (torch.rand(n, generator=generator) < 0.5) & config.flip
    sign = torch.where(mirrored, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    maps = torch.stack([sign * cos, -sin, shift[:, 0], sign * sin, cos, shift[:, 1]], dim=1)
    grid = F.affine_grid(maps.view(n, 2, 3).to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _light(images: Tensor, config: AugmentConfig, generator: Generator) -> Tensor:
    n = len(images)
    contrast = (1 + _uniform(n, config.contrast, generator)).view(n, 1, 1, 1).to(images)
    brightness = _uniform(n, config.brightness, generator).view(n, 1, 1, 1).to(images)
    mean = images.mean(dim=(2, 3), keepdim=True)
    return ((images - mean) * contrast + mean + brightness).clamp_(0, 1)


def _erase(images: Tensor, probability: float, generator: Generator) -> Tensor:
    """Fills one rectangle of 2 to 20 % of a face's area with its mean (arXiv 1708.04896)."""
    n, _, height, width = images.shape
    chosen = torch.rand(n, generator=generator) < probability
    area = 0.02 + 0.18 * torch.rand(n, generator=generator)
    aspect = torch.exp(_uniform(n, math.log(3.0), generator))
    half = torch.stack([(area * aspect).sqrt() / 2, (area / aspect).sqrt() / 2])
    centre = torch.rand(2, n, generator=generator)
    rows = (torch.arange(height) + 0.5) / height
    columns = (torch.arange(width) + 0.5) / width
    inside_rows = (rows - centre[0, :, None]).abs() <= half[0, :, None]
    inside_columns = (columns - centre[1, :, None]).abs() <= half[1, :, None]
    inside = (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None] & chosen[
        :, None, None, None
    ]
    return torch.where(inside.to(images.device), images.mean(dim=(2, 3), keepdim=True), images)
