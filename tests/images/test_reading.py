"""From files to gray pixels, decoded once."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fer_mlops.errors import DataError
from fer_mlops.images import reading
from fer_mlops.images.reading import FORMATS, SUFFIXES, colour_photo, gray_face, gray_photo

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


LYING = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,  # shown by turning it 90 degrees clockwise
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""EXIF orientation to how a photo lies that has it."""
KINDS = {
    "jpeg": ("JPEG", "L", {"quality": 95}),
    "jpeg in colour": ("JPEG", "RGB", {"quality": 95}),
    "mpo": ("MPO", "RGB", {"quality": 95}),
    "png": ("PNG", "L", {}),
    "png, 16 bits": ("PNG", "I;16", {}),
    "png, palette": ("PNG", "P", {}),
    "webp": ("WEBP", "RGB", {"quality": 95}),
    "avif": ("AVIF", "RGB", {"quality": 95}),
    "tiff": ("TIFF", "L", {}),
    "tiff in colour": ("TIFF", "RGB", {}),
    "tiff, 16 bits": ("TIFF", "I;16", {}),
    "tiff, CMYK": ("TIFF", "CMYK", {}),
    "tiff, lzw": ("TIFF", "L", {"compression": "tiff_lzw"}),
    "tiff, jpeg": ("TIFF", "RGB", {"compression": "jpeg", "quality": 95}),
    "tiff of two pages": ("TIFF", "L", {"save_all": True, "append_images": [Image.new("L", (9, 9))]}),
}


@pytest.mark.parametrize("orientation", LYING)
@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_of_any_kind_is_turned_upright_as_exif_says(kind: str, orientation: int) -> None:
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6)).astype(np.uint8))
    upright = coarse.resize((96, 60), Image.Resampling.BICUBIC)
    turn = LYING[orientation]
    lying = upright if turn is None else upright.transpose(turn)
    form, mode, options = KINDS[kind]
    if mode == "I;16":
        lying = Image.fromarray(np.asarray(lying).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = encoded(lying if mode == "I;16" else lying.convert(mode), form, exif=exif, **options)
    wanted = gray_face(upright, 48).astype(int)
    assert np.abs(gray_face(content, 48) - wanted).mean() < 1.5
    assert gray_photo(content).size == colour_photo(content).size == (96, 60)
    with Image.open(io.BytesIO(content)) as opened:  # as a caller hands it over
        assert np.abs(gray_face(opened, 48) - wanted).mean() < 1.5
        assert np.abs(gray_face(opened, 48) - wanted).mean() < 1.5


@pytest.mark.parametrize("block", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_broken_exif_block_costs_no_face(kind: str, block: bytes) -> None:
    options = {"quality": 100} if kind != "PNG" else {}
    face = gray_face(encoded(left_dark_right_light(), kind, exif=block, **options), 8).astype(int)
    assert face[:, :3].max() < 30
    assert face[:, 5:].min() > 170


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


def test_the_whole_frame_is_squeezed_into_the_square_by_an_antialiased_filter() -> None:
    wide = np.zeros((4, 16), dtype=np.uint8)
    wide[:, ::2] = 200
    face = gray_face(Image.fromarray(wide), 4)
    assert face.tolist() == [[107, 100, 100, 93]] * 4  # the filter's triangle is cut off at the edges


def test_bytes_path_and_open_image_give_the_same_face(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    content = encoded(image)
    path = tmp_path / "face.png"
    path.write_bytes(content)
    faces = [gray_face(source, 8) for source in (content, path, image)]
    np.testing.assert_array_equal(faces[0], faces[1])
    np.testing.assert_array_equal(faces[0], faces[2])


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(300, 400), (1536, 2048)])
def test_a_photo_sized_jpeg_gives_its_bytes_and_path_one_face_and_its_pixels_nearly_that(
    size: tuple[int, int], mode: str, tmp_path: Path
) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
    path = tmp_path / "photo.jpg"
    photo.save(path, quality=90)
    face = gray_face(path, 48)
    np.testing.assert_array_equal(gray_face(path.read_bytes(), 48), face)
    with Image.open(path) as opened:
        off = np.abs(gray_face(opened, 48).astype(int) - face)
    assert 0 < off.mean() < 0.7  # the path is decoded straight to a smaller size
    assert off.max() <= 8


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
        DataError, match=r"^'.*gone\.png' cannot be read as an image: there is no such file$"
    ):
        gray_face(tmp_path / "gone.png", 16)


# ── which formats ──


def test_the_formats_name_every_suffix_that_pillow_registers_for_them() -> None:
    Image.init()
    theirs = {
        suffix
        for suffix, form in Image.registered_extensions().items()
        if form in FORMATS or form == "MPO"
    }
    assert theirs == SUFFIXES


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_read_whatever_the_file_is_called(form: str, tmp_path: Path) -> None:
    path = tmp_path / "face.dat"
    left_dark_right_light().save(path, format=form)
    face = gray_face(path, 8).astype(int)
    assert face[:, :3].max() < 30
    assert face[:, 5:].min() > 170


def test_only_one_module_gives_bytes_to_pillow() -> None:
    package = Path(reading.__file__).parents[1]
    callers = {
        path.name
        for path in package.rglob("*.py")
        if "Image.open(" in path.read_text() or "Image.OPEN" in path.read_text()
    }
    assert callers == {"reading.py"}


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\n"
    b"0 0 48 48 rectfill\nshowpage\n%%EOF\n"
)
DOS_EPS = struct.pack("<7I2x", 0xC6D3D0C5, 30, len(EPS), 0, 0, 0, 0) + EPS


@pytest.mark.parametrize("content", [EPS, DOS_EPS, EPS.replace(b"\n", b"\r")])
@pytest.mark.parametrize("name", ["face.jpg", "face.eps"])
def test_eps_is_refused_and_starts_no_program(
    name: str, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*words: object, **_: object) -> None:
        raise AssertionError(f"{words} was started")

    for one in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, one, start)
    monkeypatch.setattr(os, "system", start)
    path = tmp_path / name
    path.write_bytes(content)
    for read in (lambda image: gray_face(image, 8), gray_photo, colour_photo):
        for image in (content, path):
            with pytest.raises(DataError, match="it is none of JPEG, PNG"):
                read(image)


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_is_refused_by_name_with_what_to_do(brand: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + b"\0" * 100)
    with pytest.raises(DataError, match=r"a\.heic' cannot be read .*: it is HEIC; convert it to JPEG$"):
        gray_face(path, 8)


@pytest.mark.parametrize("image", ["/etc/passwd", bytearray(b"x"), None, 3])
def test_what_is_neither_bytes_nor_path_nor_image_is_never_opened(image: object) -> None:
    with pytest.raises(DataError, match="an image must be bytes, a Path or a Pillow image, not "):
        gray_face(image, 8)  # type: ignore[arg-type]


def test_a_pipe_is_read_like_a_file() -> None:
    content = encoded(left_dark_right_light())
    code = (
        "import sys; from pathlib import Path; from fer_mlops.images.reading import gray_face;"
        "print(int(gray_face(Path('/dev/stdin'), 8).max()))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=content, capture_output=True, check=True)
    assert done.stdout.strip() == b"200"


def test_a_path_that_is_a_picture_in_text_is_shown_in_few_letters() -> None:
    with pytest.raises(DataError) as caught:
        gray_face(Path("iVBORw0KGgo" * 3000), 8)
    assert len(str(caught.value)) < 250
    assert str(caught.value).endswith("File name too long")


def test_whatever_a_broken_file_makes_a_decoder_raise_is_one_sentence() -> None:
    random = np.random.default_rng(0)
    face = Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    told = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of odd files
        for form in FORMATS:
            whole = encoded(face, form)
            for _ in range(60):
                torn = bytearray(whole[: random.integers(1, len(whole) + 1)])
                for place in random.integers(0, len(torn), 4):
                    torn[place] = random.integers(0, 256)
                try:
                    gray_face(bytes(torn), 8)
                except DataError as error:
                    told.append(str(error))
    assert len(told) > 100
    assert max(map(len, told)) < 250
    assert not any("\n" in one for one in told)


# ── how large ──


def png_of(width: int, height: int) -> bytes:
    """Returns a PNG of one gray, however large, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_phones_largest_jpeg_is_read_as_a_face(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.new("L", (16320, 12240), 128).save(path, quality=60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(gray_face(path, 48).flat) == {128}
        assert set(gray_face(path.read_bytes(), 48).flat) == {128}


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP"])
def test_what_pillow_would_warn_of_is_read_without_a_warning(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(Image.new("L", (120, 90), 128), form)
    monkeypatch.setattr(
        Image, "MAX_IMAGE_PIXELS", 8000
    )  # it warns from there, and refuses twice as many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(gray_face(content, 8).flat) == {128}
        assert gray_photo(content).size == (120, 90)


@pytest.mark.parametrize("read", [lambda image: gray_face(image, 8), gray_photo, colour_photo])
def test_a_larger_image_is_refused_in_our_words_and_not_decoded(read: object) -> None:
    with pytest.raises(DataError) as caught:
        read(png_of(20_000, 10_001))  # type: ignore[operator]
    assert str(caught.value) == (
        "image cannot be read as an image: 20000 x 10001 pixels are more than the limit of "
        "200,000,000; scale the image down"
    )


@pytest.mark.parametrize("form", ["WEBP", "TIFF"])
def test_what_pillow_refuses_by_itself_is_told_in_our_words(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(Image.new("L", (120, 90)), form)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5000)
    with pytest.raises(DataError) as caught:
        gray_face(content, 8)
    assert str(caught.value).endswith("more pixels than Pillow decodes in its format; scale it down")


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        raise MemoryError

    content = encoded(Image.new("L", (8, 8)), "BMP")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(DataError, match="it needs more memory than is free; scale it down"):
        gray_face(content, 8)


# ── how many bits ──


def test_a_16_bit_pgm_has_the_tones_of_a_16_bit_png() -> None:
    ramp = np.repeat(np.arange(20_000, 40_000, 2_500, dtype=np.uint16)[None], 8, axis=0)
    pgm = b"P5 8 8 65535 " + ramp.astype(">u2").tobytes()
    png = encoded(Image.fromarray(ramp))
    np.testing.assert_array_equal(gray_face(pgm, 8), gray_face(png, 8))
