"""Variations of training faces."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Generator, Tensor

from fer_mlops.config import AugmentConfig
from fer_mlops.training.augmentation import (
    _grid,
    make_augment,
    unchanged,
)

STILL = AugmentConfig(
    flip=False, rotation=0.0, zoom=0.0, shift=0.0, brightness=0.0, contrast=0.0, random_erasing=0.0
)
WILD = AugmentConfig(
    flip=True, rotation=45.0, zoom=0.5, shift=0.5, brightness=1.0, contrast=1.0, random_erasing=1.0
)
SIDE = 24


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def noise(n: int = 8) -> Tensor:
    return torch.rand(n, 1, SIDE, SIDE, generator=seeded(9))


def spots(n: int, x: float, y: float) -> Tensor:
    """Returns ``n`` faces with one soft bright spot at (x, y), image shares from the centre."""
    axis = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    squared = (axis[None, :] - x) ** 2 + (axis[:, None] - y) ** 2
    return torch.exp(-squared / (2 * 0.06**2)).expand(n, 1, SIDE, SIDE)


def centres(images: Tensor) -> Tensor:
    """Returns the centre of brightness (x, y) of each face [n, 2], image shares from the centre."""
    axis = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    mass = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True)
    return torch.stack([(mass.sum(1) * axis).sum(1), (mass.sum(2) * axis).sum(1)], dim=1)


@pytest.mark.parametrize("config", [STILL, AugmentConfig(), WILD])
def test_shape_type_and_range_are_kept(config: AugmentConfig) -> None:
    images = noise()
    varied = make_augment(config)(images, seeded())
    assert varied.shape == images.shape
    assert varied.dtype == torch.float32
    assert varied.min() >= 0
    assert varied.max() <= 1


def test_pixels_look_where_torchs_affine_grid_would_have_them_look() -> None:
    maps = torch.randn(5, 2, 3, generator=seeded())
    expected = torch.nn.functional.affine_grid(maps, [5, 1, 24, 20], align_corners=False)
    torch.testing.assert_close(_grid(maps, 24, 20), expected)


def test_the_faces_given_are_not_changed_themselves() -> None:
    images = noise()
    make_augment(WILD)(images, seeded())
    assert torch.equal(images, noise())


def test_the_same_generator_gives_the_same_faces_and_another_others() -> None:
    augment = make_augment(dataclasses.replace(AugmentConfig(), random_erasing=0.5))
    first, again, other = (augment(noise(), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_is_drawn_from_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    make_augment(WILD)(noise(), seeded())
    assert torch.equal(torch.get_rng_state(), before)


def test_settings_of_zero_change_nothing() -> None:
    torch.testing.assert_close(make_augment(STILL)(noise(), seeded()), noise(), atol=1e-5, rtol=0)


def test_unchanged_changes_nothing() -> None:
    assert torch.equal(unchanged(noise(), seeded()), noise())


def test_flipping_mirrors_about_half_of_the_faces_and_does_no_more() -> None:
    images = noise(200)
    varied = make_augment(dataclasses.replace(STILL, flip=True))(images, seeded())
    same = torch.isclose(varied, images, atol=1e-5).all(dim=(1, 2, 3))
    mirrored = torch.isclose(varied, images.flip(3), atol=1e-5).all(dim=(1, 2, 3))
    assert torch.equal(same, ~mirrored)
    assert 70 <= int(mirrored.sum()) <= 130


def test_without_flip_left_stays_left() -> None:
    config = dataclasses.replace(AugmentConfig(), flip=False)
    assert bool((centres(make_augment(config)(spots(64, -0.25, 0), seeded()))[:, 0] < 0).all())


def test_rotation_turns_about_the_centre_both_ways_and_no_further_than_it_may() -> None:
    turned = centres(
        make_augment(dataclasses.replace(STILL, rotation=30.0))(spots(64, 0.2, 0), seeded())
    )
    angles = torch.rad2deg(torch.atan2(turned[:, 1], turned[:, 0]))
    assert -31 < angles.min() < -25
    assert 25 < angles.max() < 31
    torch.testing.assert_close(turned.norm(dim=1), torch.full((64,), 0.2), atol=0.01, rtol=0)


def test_shift_moves_every_way_and_no_further_than_it_may() -> None:
    moved = centres(make_augment(dataclasses.replace(STILL, shift=0.1))(spots(128, 0, 0), seeded()))
    assert moved.abs().max() < 0.11
    for way in (moved.amin(dim=0), moved.amax(dim=0)):
        assert bool((way.abs() > 0.08).all())
    assert torch.corrcoef(moved.T)[0, 1].abs() < 0.3  # across and down each by itself


def test_zoom_scales_about_the_centre_both_ways_and_no_further_than_it_may() -> None:
    scaled = centres(make_augment(dataclasses.replace(STILL, zoom=0.2))(spots(64, 0.2, 0), seeded()))
    ratio = scaled[:, 0] / 0.2
    assert 1 / 1.2 - 0.03 < ratio.min() < 0.88
    assert 1.18 < ratio.max() < 1 / 0.8 + 0.03
    assert scaled[:, 1].abs().max() < 0.01


def test_every_face_draws_its_own_values() -> None:
    varied = make_augment(AugmentConfig())(noise(1).expand(6, 1, SIDE, SIDE), seeded())
    assert len(torch.unique(varied.flatten(1), dim=0)) == 6


def test_brightness_moves_all_pixels_of_a_face_alike() -> None:
    images = 0.4 + 0.2 * noise()
    change = make_augment(dataclasses.replace(STILL, brightness=0.3))(images, seeded()) - images
    per_face = change.mean(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(change, per_face.expand_as(change), atol=1e-5, rtol=0)
    assert 0.1 < per_face.abs().max() <= 0.3


def test_contrast_stretches_a_face_about_its_own_mean() -> None:
    images = 0.4 + 0.2 * noise()
    varied = make_augment(dataclasses.replace(STILL, contrast=0.5))(images, seeded())
    torch.testing.assert_close(varied.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)))
    ratio = varied.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert 0.5 <= ratio.min() < 0.8
    assert 1.2 < ratio.max() <= 1.5


def test_erasing_fills_one_rectangle_with_the_mean_of_its_face() -> None:
    images = noise(300)
    varied = make_augment(dataclasses.replace(STILL, random_erasing=1.0))(images, seeded())
    changed = (varied - images).abs() > 1e-4
    for face, mask, mean in zip(varied[:, 0], changed[:, 0], images.mean(dim=(1, 2, 3)), strict=True):
        inside = (face - mean).abs() < 1e-4
        rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
        if len(rows):  # a thin one may lie between pixel centres, or outside the frame
            box = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert bool(box.all())
            assert not mask[~inside].any()
    share = changed.float().mean(dim=(1, 2, 3))
    assert share.max() <= 0.2 + 2 / SIDE
    assert 0.07 < share.mean() < 0.1  # 11 % less what lies outside the frame
    for dim in (2, 3):  # as high as wide
        assert 0.25 < changed.any(dim=dim).float().mean() < 0.35


def test_erasing_takes_about_the_asked_share_of_the_faces() -> None:
    images = noise(400)
    varied = make_augment(dataclasses.replace(STILL, random_erasing=0.3))(images, seeded())
    erased = ((varied - images).abs() > 1e-4).any(dim=3).any(dim=2)[:, 0]
    assert 0.2 < erased.float().mean() < 0.4


def test_what_lies_outside_the_frame_repeats_the_border() -> None:
    images = torch.full((16, 1, SIDE, SIDE), 0.5)
    wild = dataclasses.replace(WILD, brightness=0.0, contrast=0.0)
    torch.testing.assert_close(make_augment(wild)(images, seeded()), images)


def test_half_precision_faces_stay_half_precision() -> None:
    varied = make_augment(AugmentConfig())(noise().bfloat16(), seeded())
    assert varied.dtype == torch.bfloat16
    assert math.isfinite(float(varied.float().sum()))
