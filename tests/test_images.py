"""From files to gray pixels, decoded once."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_mlops.datasets.table import FaceTable, Row, make_table
from fer_mlops.errors import DataError
from fer_mlops.images import cache_folder, gray_face, load_pixels

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


# ── a table of faces ──


def faces_in(folder: Path, *shades: int) -> FaceTable:
    folder.mkdir(exist_ok=True)
    rows = []
    for i, shade in enumerate(shades):
        Image.new("L", (8, 8), shade).save(folder / f"{i}.png")
        rows.append(Row(f"{i}.png", "neutral", str(i), "none"))
    return make_table("tiny", folder, rows, [])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "made" / "when" / "needed"


def test_faces_come_row_for_row_read_only_and_from_disk(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10, 20, 30)
    same, pixels = load_pixels(table, SIDE, cache)
    assert same is table
    assert (pixels.shape, pixels.dtype) == ((3, SIDE, SIDE), np.uint8)
    assert pixels[:, 0, 0].tolist() == [10, 20, 30]
    assert isinstance(pixels, np.memmap)
    assert not pixels.flags.writeable


def test_faces_are_decoded_once(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10, 20)
    decoded: list[int] = []
    for _ in range(2):
        _, pixels = load_pixels(table, SIDE, cache, advance=decoded.append)
        assert pixels[:, 0, 0].tolist() == [10, 20]
    assert decoded == [1, 1]
    assert len(list(cache.glob("*.npy"))) == 1


def test_decoding_happens_in_the_cache_itself_and_not_in_another_file_system(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    assert load_pixels(faces_in(tmp_path / "faces", 10), SIDE, cache)[1].shape == (1, SIDE, SIDE)


def test_a_changed_file_is_noticed(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10, 20)
    load_pixels(table, SIDE, cache)
    path = tmp_path / "faces" / "1.png"
    size = path.stat().st_size
    Image.new("L", (8, 8), 21).save(path)
    assert path.stat().st_size == size  # so only its time tells
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert load_pixels(table, SIDE, cache)[1][:, 0, 0].tolist() == [10, 21]


def test_every_size_and_every_folder_has_an_array_of_its_own(tmp_path: Path, cache: Path) -> None:
    one, other = faces_in(tmp_path / "one", 10), faces_in(tmp_path / "other", 20)
    os.utime(tmp_path / "one" / "0.png", ns=(0, 0))
    os.utime(tmp_path / "other" / "0.png", ns=(0, 0))
    assert load_pixels(one, 4, cache)[1][0, 0].tolist() == [10] * 4
    assert load_pixels(one, 5, cache)[1][0, 0].tolist() == [10] * 5
    assert load_pixels(other, 4, cache)[1][0, 0].tolist() == [20] * 4


def test_unreadable_images_stop_with_their_names_and_the_way_out(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", *range(8))
    for i in range(1, 8):
        (tmp_path / "faces" / f"{i}.png").write_bytes(b"torn")
    for _ in range(2):  # decoded, then remembered
        with pytest.raises(DataError) as caught:
            load_pixels(table, SIDE, cache)
        message = str(caught.value)
        assert message.count("cannot be read as an image") == 5
        assert message.endswith("; and 2 more. Mend them, or leave them out with --on-bad-image skip")
        places = [message.find(repr(str(tmp_path / "faces" / f"{i}.png"))) for i in range(1, 6)]
        assert 0 == places[0] < places[1] < places[2] < places[3] < places[4]  # in their order


def test_unreadable_images_are_left_out_on_request_with_a_note_that_names_them(
    tmp_path: Path, cache: Path
) -> None:
    table = faces_in(tmp_path / "faces", 10, 20, 30, 40)
    for i in (2, 0):
        (tmp_path / "faces" / f"{i}.png").write_bytes(b"torn")
    left, pixels = load_pixels(table, SIDE, cache, skip_bad=True)
    assert left.paths == ("1.png", "3.png")
    assert left.identities.tolist() == ["1", "3"]
    assert pixels[:, 0, 0].tolist() == [20, 40]
    assert left.notes == ("2 unreadable images left out: 0.png, 2.png",)


def test_skipping_changes_nothing_where_every_image_can_be_read(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    assert load_pixels(table, SIDE, cache, skip_bad=True)[0] is table


def test_nothing_but_unreadable_images_is_refused_even_when_skipping(
    tmp_path: Path, cache: Path
) -> None:
    table = faces_in(tmp_path / "faces", 10)
    (tmp_path / "faces" / "0.png").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"^none of the 1 images in '.*faces' can be read$"):
        load_pixels(table, SIDE, cache, skip_bad=True)


def test_a_mended_image_is_read_again(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    path = tmp_path / "faces" / "0.png"
    whole = path.read_bytes()
    path.write_bytes(b"torn")
    with pytest.raises(DataError):
        load_pixels(table, SIDE, cache)
    path.write_bytes(whole)
    assert load_pixels(table, SIDE, cache)[1][0, 0, 0] == 10


def test_a_missing_image_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    (tmp_path / "faces" / "0.png").unlink()
    with pytest.raises(DataError, match=r"^cannot read '.*0\.png': No such file or directory$"):
        load_pixels(table, SIDE, cache)


def test_a_decoding_that_was_interrupted_leaves_nothing_in_the_cache(
    tmp_path: Path, cache: Path
) -> None:
    table = faces_in(tmp_path / "faces", 10, 20, 30)
    done: list[int] = []

    def interrupt(count: int) -> None:
        done.append(count)
        if len(done) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_pixels(table, SIDE, cache, advance=interrupt)
    assert list(cache.iterdir()) == []
    assert load_pixels(table, SIDE, cache)[1][:, 0, 0].tolist() == [10, 20, 30]


def test_a_cache_that_cannot_be_written_is_refused_with_the_way_out(tmp_path: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.raises(DataError) as caught:
        load_pixels(table, SIDE, in_the_way)
    message = str(caught.value)
    assert message.startswith(f"cannot write decoded faces to {str(in_the_way)!r}: ")
    assert message.endswith("; free space or set FER_MLOPS_CACHE to another folder")


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FER_MLOPS_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("FER_MLOPS_CACHE", "~/faces")
    assert cache_folder() == tmp_path / "faces"
    monkeypatch.delenv("FER_MLOPS_CACHE")
    assert cache_folder() == tmp_path / ".cache" / "fer_mlops"
