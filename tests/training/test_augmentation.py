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
    make_mix,
    training_side,
    unchanged,
    unmixed,
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


# ── mixing ──


def flat_faces(n: int) -> tuple[Tensor, Tensor]:
    """Returns faces of one gray each, which is i / n, and labels i % 3."""
    grays = (torch.arange(n) / n).view(n, 1, 1, 1)
    return grays.expand(n, 1, SIDE, SIDE).contiguous(), torch.arange(n) % 3


@pytest.mark.parametrize("settings", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 0.5}])
def test_the_label_takes_the_share_that_the_face_takes_of_its_neighbour(
    settings: dict[str, float],
) -> None:
    images, labels = flat_faces(200)
    mixed, targets = make_mix(AugmentConfig(**settings), 3)(images, labels, seeded())  # type: ignore[arg-type]
    other = images.roll(1, 0)
    share = ((mixed - other) / (images - other)).mean(dim=(1, 2, 3))
    assert mixed.shape == images.shape
    torch.testing.assert_close(targets.sum(1), torch.ones(200))
    own = targets[torch.arange(200), labels]
    torch.testing.assert_close(own, share, atol=2e-3, rtol=0)
    torch.testing.assert_close(targets[torch.arange(200), labels.roll(1)], 1 - share, atol=2e-3, rtol=0)
    assert 0.1 < share.std() < 0.45


def test_mixup_draws_its_share_from_the_beta_of_its_alpha() -> None:
    images, labels = flat_faces(3000)
    for alpha, variance in ((0.2, 1 / (4 * 1.4)), (1.0, 1 / 12)):
        _, targets = make_mix(AugmentConfig(mixup=alpha), 3)(images, labels, seeded())
        own = targets[torch.arange(3000), labels]
        assert own.mean() == pytest.approx(0.5, abs=0.03)
        assert own.var() == pytest.approx(variance, rel=0.1)


def test_cutmix_replaces_one_rectangle_of_the_asked_share_of_faces() -> None:
    images, labels = flat_faces(400)
    mixed, targets = make_mix(AugmentConfig(cutmix=0.3), 3)(images, labels, seeded())
    is_other = (mixed - images.roll(1, 0)).abs() < 1e-6
    assert bool((is_other | (mixed == images)).all())
    for mask in is_other[:, 0]:
        rows, columns = mask.any(dim=1).nonzero()[:, 0], mask.any(dim=0).nonzero()[:, 0]
        if len(rows):
            assert bool(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all())
    cut = is_other.any(dim=3).any(dim=2)[:, 0]
    assert 0.2 < cut.float().mean() < 0.36
    assert bool((targets[torch.arange(400), labels] < 1).eq(cut).all())


def test_mixing_takes_shares_for_labels_and_draws_from_its_generator_alone() -> None:
    images, labels = flat_faces(30)
    mix = make_mix(AugmentConfig(mixup=0.4, cutmix=0.5), 3)
    shares = torch.nn.functional.one_hot(labels, 3).float()
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (mix(images, t, seeded(s)) for t, s in ((labels, 1), (shares, 1), (labels, 2)))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_is_mixed_unless_asked_for() -> None:
    assert make_mix(AugmentConfig(), 3) is unmixed
    images, labels = flat_faces(3)
    assert unmixed(images, labels, seeded()) == (images, labels)


# ── progressive resizing ──


def test_the_side_grows_evenly_to_full_in_the_last_third() -> None:
    sides = [training_side(48, 0.5, epoch / 12) for epoch in range(12)]
    assert sides == [24, 28, 32, 32, 36, 40, 40, 44, 48, 48, 48, 48]
    assert {training_side(50, 1.0, epoch / 12) for epoch in range(12)} == {50}
    assert training_side(50, 0.5, 1.0) == 50


def test_faces_are_smaller_early_on_and_still_show_the_same() -> None:
    augment = make_augment(dataclasses.replace(STILL, progressive_resize_start=0.5))
    images = noise()
    early = augment(images, seeded(), 0.0)
    assert early.shape == (8, 1, SIDE // 2, SIDE // 2)
    halved = torch.nn.functional.avg_pool2d(images, 2)
    torch.testing.assert_close(early, halved, atol=1e-5, rtol=0)
    assert augment(images, seeded(), 0.9).shape == images.shape
    assert augment(images, seeded()).shape == images.shape


def test_the_side_changes_no_random_number() -> None:
    after = []
    for start, done in ((1.0, 0.0), (0.5, 0.0)):
        generator = seeded()
        make_augment(dataclasses.replace(WILD, progressive_resize_start=start))(noise(), generator, done)
        after.append(torch.rand(1, generator=generator))
    assert torch.equal(*after)
