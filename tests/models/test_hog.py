"""Faces to vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.feature import hog
from torch import Tensor, nn

from fer_mlops.images.arrays import Images
from fer_mlops.models.base import to_images
from fer_mlops.models.hog import Vectors, hog_vectors
from fer_mlops.training.feature_cache import frozen_features

CPU = torch.device("cpu")


def noise(n: int = 5, side: int = 24) -> Images:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


class Columns(nn.Module):
    """Returns the mean of every column, so that mirroring turns the features round."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.9)
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        return self.dropout(images.mean(dim=(1, 2)))


# ── HOG ──


@pytest.mark.parametrize(("cell", "orientations"), [(4, 9), (5, 9), (6, 8), (12, 3)])
def test_hog_is_that_of_scikit_image_face_by_face(cell: int, orientations: int) -> None:
    pixels = noise()
    vectors = hog_vectors(pixels, cells=(cell,), orientations=orientations)
    blocks = 24 // cell - 1
    assert vectors.shape == (5, blocks * blocks * 4 * orientations)
    assert vectors.dtype == np.float32
    for face, vector in zip(pixels, vectors, strict=True):
        alone = hog(
            face,
            orientations=orientations,
            pixels_per_cell=(cell, cell),
            cells_per_block=(2, 2),
            block_norm="L2-Hys",
            transform_sqrt=True,
        )
        np.testing.assert_allclose(vector, alone, atol=1e-6)


def test_several_cell_sizes_stand_side_by_side() -> None:
    both = hog_vectors(noise(), cells=(5, 8), orientations=9)
    alone = [hog_vectors(noise(), cells=(cell,), orientations=9) for cell in (5, 8)]
    np.testing.assert_array_equal(both, np.hstack(alone))


def test_symmetric_hog_is_the_mean_over_a_face_and_its_mirror_image() -> None:
    def describe(faces: Images, *, is_symmetric: bool) -> Vectors:
        return hog_vectors(faces, cells=(5, 8), orientations=9, is_symmetric=is_symmetric)

    own = describe(noise(), is_symmetric=False)
    mirrored = describe(noise()[:, :, ::-1], is_symmetric=False)
    np.testing.assert_allclose(describe(noise(), is_symmetric=True), (own + mirrored) / 2, atol=1e-6)
    assert not np.allclose(own, mirrored)


def test_hog_of_a_flat_face_is_zero_and_no_nan() -> None:
    vectors = hog_vectors(np.full((1, 24, 24), 99, dtype=np.uint8), cells=(6,), orientations=9)
    assert not vectors.any()


def test_hog_does_not_see_how_bright_a_face_is_lit() -> None:
    face = noise(1) // 4
    dark, light = (hog_vectors(x, cells=(6,), orientations=9) for x in (face, 3 * face))
    np.testing.assert_allclose(dark, light, atol=1e-3)


def test_hog_reads_faces_straight_from_disk_and_tells_each_one_done(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", noise(200))
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    done: list[int] = []
    vectors = hog_vectors(mapped, cells=(6,), orientations=9, advance=done.append)
    np.testing.assert_array_equal(
        vectors[150:], hog_vectors(noise(200)[150:], cells=(6,), orientations=9)
    )
    assert sum(done) == 200


# ── to tensors ──


def test_images_are_float_with_one_channel_and_black_0_white_1() -> None:
    pixels = np.array([[[0, 51], [102, 255]]], dtype=np.uint8)
    images = to_images(pixels, CPU)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, torch.tensor([[[[0.0, 0.2], [0.4, 1.0]]]]))


def test_images_are_a_copy_so_that_no_one_writes_to_the_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", noise())
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    to_images(mapped, CPU).zero_()
    np.testing.assert_array_equal(mapped, noise())


# ── features of a frozen network ──


def test_features_are_what_the_backbone_makes_of_each_face_in_evaluation_mode() -> None:
    backbone = Columns().train()
    features = frozen_features(backbone, noise(), device=CPU)
    expected = torch.from_numpy(noise().mean(axis=1) / 255).float()
    torch.testing.assert_close(features, expected)
    assert features.dtype == torch.float32
    assert not backbone.training


def test_mirrored_features_are_those_of_faces_flipped_left_to_right() -> None:
    pixels = noise()
    mirrored = frozen_features(Columns(), pixels, device=CPU, mirrored=True)
    flipped = np.ascontiguousarray(pixels[:, :, ::-1])
    torch.testing.assert_close(mirrored, frozen_features(Columns(), flipped, device=CPU))
    torch.testing.assert_close(mirrored, frozen_features(Columns(), pixels, device=CPU).flip(1))


def test_features_do_not_depend_on_how_faces_are_batched_and_each_batch_is_told() -> None:
    backbone, done = Columns(), list[int]()
    batched = frozen_features(backbone, noise(), device=CPU, batch_size=2, advance=done.append)
    torch.testing.assert_close(batched, frozen_features(Columns(), noise(), device=CPU))
    assert backbone.seen == done == [2, 2, 1]


def test_features_carry_no_gradient() -> None:
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 3))
    assert not frozen_features(backbone, noise(), device=CPU).requires_grad


def test_features_of_a_half_precision_backbone_are_single_precision() -> None:
    class Half(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean(dim=(1, 2)).bfloat16()

    assert frozen_features(Half(), noise(), device=CPU).dtype == torch.float32
