"""From files to gray pixels, decoded once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_mlops.errors import DataError
from fer_mlops.images import gray_face

ORIENTATION = 0x0112
SIDE = 4


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def left_dark_right_light() -> Image.Image:
    pixels = np.zeros((8, 8), dtype=np.uint8)
    pixels[:, 4:] = 200
    return Image.fromarray(pixels)


# ── one face ──


def test_a_gray_face_of_the_right_size_stays_as_it_is() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)
    face = gray_face(encoded(Image.fromarray(pixels)), 4)
    assert face.dtype == np.uint8
    np.testing.assert_array_equal(face, pixels)


def test_colours_become_luma_as_in_itu_r_601() -> None:
    image = Image.new("RGB", (8, 8), (255, 0, 0))
    assert set(gray_face(image, 4).flat) == {76}  # 0.299 x 255


def test_a_transparent_face_stands_on_white() -> None:
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((100, 100, 100, 255), (0, 0, 4, 8))
    np.testing.assert_array_equal(gray_face(encoded(image), 8)[0, [0, -1]], [100, 255])


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_transparency_is_seen_in_gray_and_palette_images_too(mode: str) -> None:
    if mode == "LA":
        content = encoded(Image.new("LA", (8, 8), (50, 0)))
    else:
        content = encoded(Image.new("P", (8, 8), 0), transparency=0)
    assert set(gray_face(content, 4).flat) == {255}


def test_a_palette_face_is_looked_up_and_not_taken_for_gray() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 90, 90, 90])
    assert set(gray_face(encoded(image), 4).flat) == {90}


def test_a_16_bit_face_is_scaled_and_not_clipped() -> None:
    wide = np.repeat(np.array([[0, 257 * 100, 257 * 200, 65535]], dtype=np.uint16), 4, axis=0)
    face = gray_face(encoded(Image.fromarray(wide)), 4)
    np.testing.assert_array_equal(face[0], [0, 100, 200, 255])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_face_that_exif_says_lies_on_its_side_is_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # shown by turning 90 degrees clockwise, so left comes on top
    options = {"quality": 100} if kind != "PNG" else {}
    face = gray_face(encoded(left_dark_right_light(), kind, exif=exif, **options), 8).astype(int)
    assert face[:3].max() < 30
    assert face[5:].min() > 170


@pytest.mark.parametrize(
    ("tag", "kind", "other"),
    [(0x0100, 4, 2), (0x011A, 5, 2), (0x011A, 5, 7)],
    ids=["width as text", "resolution as text", "resolution as bytes"],
)
def test_a_malformed_exif_tag_costs_neither_the_face_nor_its_turn(
    tag: int, kind: int, other: int
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[0x0100], exif[0x011A] = 8, 72.0
    block = bytearray(exif.tobytes())
    block[block.index(tag.to_bytes(2, "big") + kind.to_bytes(2, "big")) + 3] = other
    content = encoded(left_dark_right_light(), "JPEG", exif=bytes(block), quality=100)
    face = gray_face(content, 8).astype(int)
    assert face[:3].max() < 30
    assert face[5:].min() > 170


def test_the_whole_frame_is_squeezed_into_the_square_by_area() -> None:
    wide = np.zeros((4, 16), dtype=np.uint8)
    wide[:, ::2] = 200
    face = gray_face(Image.fromarray(wide), 4)
    assert face.shape == (4, 4)
    assert np.abs(face.astype(int) - 100).max() <= 30  # an average, where one pixel in four is 0 or 200


def test_bytes_path_and_open_image_give_the_same_face(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    content = encoded(image)
    path = tmp_path / "face.png"
    path.write_bytes(content)
    faces = [gray_face(source, 8) for source in (content, path, image)]
    np.testing.assert_array_equal(faces[0], faces[1])
    np.testing.assert_array_equal(faces[0], faces[2])


def test_a_large_jpeg_decoded_at_a_smaller_scale_is_the_same_face() -> None:
    ramp = np.linspace(0, 255, 512, dtype=np.uint8)
    image = Image.fromarray(np.repeat(ramp[None], 512, axis=0)).convert("RGB")
    short_cut = gray_face(encoded(image, "JPEG", quality=95), 16).astype(int)
    assert np.abs(short_cut - gray_face(image, 16)).max() <= 2


def test_a_truncated_file_is_told_in_one_sentence_with_name_and_reason(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = tmp_path / "torn.jpg"
    path.write_bytes(encoded(Image.fromarray(noise), "JPEG")[:1500])
    with pytest.raises(DataError) as caught:
        gray_face(path, 16)
    message = str(caught.value)
    assert message.startswith(f"{str(path)!r} cannot be read as an image: image file is truncated")
    assert "\n" not in message


def test_truncated_bytes_are_told_the_reason_too() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    with pytest.raises(DataError, match=r"^image cannot be read as an image: .*truncated"):
        gray_face(encoded(Image.fromarray(noise), "JPEG")[:1500], 16)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\xff\xd8\xff\xe0"])
def test_bytes_that_are_no_image_are_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(DataError) as caught:
        gray_face(content, 16)
    assert str(caught.value).startswith("image cannot be read as an image: ")
    assert "0x" not in str(caught.value)  # no address of a buffer


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^'.*gone\.png' cannot be read as an image: FileNotFoundError$"
    ):
        gray_face(tmp_path / "gone.png", 16)
