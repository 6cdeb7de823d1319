"""Every fault a file can have, planted once."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from crowds import crowd, images, kinds, noise, the
from PIL import Image

from fer_mlops.config import DataConfig
from fer_mlops.data.file_info import read_record, read_records
from fer_mlops.data.quality.files import file_findings
from fer_mlops.data.quality.findings import Finding
from fer_mlops.data.table import FaceTable, Row, make_table
from fer_mlops.errors import DataError
from fer_mlops.images.reading import SUFFIXES, gray_face
from fer_mlops.reporting.html.pictures import picture_uri

CONFIG = DataConfig()


def face(side: tuple[int, int] = (64, 64)) -> Image.Image:
    return noise(0, np.random.default_rng(0)).resize(side)


def folder_of(folder: Path, *names: str) -> FaceTable:
    """Returns the table of one good face and the files that are there already."""
    face().save(folder / "good.png")
    rows = [Row(name, "happiness", name, "drawn") for name in ("good.png", *names)]
    return make_table("tiny", folder, rows, [])


def examine_files(table: FaceTable, config: DataConfig = CONFIG) -> list[Finding]:
    return file_findings(table, read_records(table), config)


def png_header(width: int, height: int) -> bytes:
    """Returns a PNG that says it is of this size, and holds nothing."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", 0)


def plant(folder: Path, kind: str) -> str:
    """Makes the one faulty file of a kind, and returns its name."""
    path = folder / "bad.png"
    if kind == "unreadable":
        path.write_bytes(b"no image at all")
    elif kind == "truncated":
        path = folder / "bad.jpg"
        face((200, 200)).save(path)
        path.write_bytes(path.read_bytes()[:4000])
    elif kind == "refused-size":
        path.write_bytes(png_header(30_000, 30_000))
    elif kind == "huge":
        path.write_bytes(png_header(7_000, 7_000))
    elif kind == "almost-black":
        Image.fromarray(np.asarray(face(), dtype=np.uint16) << 4).save(path)  # 12 bits in 16
    elif kind == "tiny":
        face((40, 50)).save(path)
    elif kind == "blank":
        Image.new("L", (64, 64), 90).save(path)
    elif kind == "stretched":
        face((64, 100)).save(path)
    elif kind == "animated":
        path = folder / "bad.gif"
        face().save(path, save_all=True, append_images=[face().transpose(Image.Transpose.ROTATE_90)])
    elif kind == "wrong-extension":
        path = folder / "bad.jpg"
        face().save(path, format="WEBP")
    elif kind == "rotated":
        path = folder / "bad.jpg"
        exif = Image.Exif()
        exif[0x0112] = 6
        face().save(path, exif=exif)
    return path.name


SEVERITY = {
    "unreadable": "error",
    "truncated": "error",
    "refused-size": "error",
    "huge": "warning",
    "tiny": "warning",
    "blank": "warning",
    "almost-black": "warning",
    "stretched": "warning",
    "animated": "warning",
    "wrong-extension": "note",
    "rotated": "note",
}


@pytest.mark.parametrize("kind", SEVERITY)
def test_a_planted_fault_is_found_alone_and_named(kind: str, tmp_path: Path) -> None:
    name = plant(tmp_path, kind)
    findings = examine_files(folder_of(tmp_path, name))
    finding = findings.pop(0)
    assert kinds(findings) == (["unusual-pixels"] if kind == "almost-black" else [])
    assert (finding.kind, finding.severity, finding.num) == (kind, SEVERITY[kind], 1)
    assert finding.what.startswith("1 image ")
    assert images(finding) == [name]
    assert finding.examples[0].caption


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "RGBA", "LA"])
def test_unusual_pixels_are_noted(mode: str, tmp_path: Path) -> None:
    if mode == "I;16":
        wide = np.random.default_rng(0).integers(0, 2**16, (64, 64), dtype=np.uint16)
        Image.fromarray(wide).save(tmp_path / "bad.tif")
    else:
        face().convert("RGB").convert(mode if mode != "LA" else "L").convert(mode).save(
            tmp_path / "bad.tif"
        )
    (finding,) = examine_files(folder_of(tmp_path, "bad.tif"))
    assert (finding.kind, finding.num) == ("unusual-pixels", 1)


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_few_bits_in_files_of_sixteen_are_told_and_not_taken_for_blank(
    bits: int, form: str, tmp_path: Path
) -> None:
    values = np.linspace(0, 2**bits - 1, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / f"bad.{form}")
    findings = examine_files(folder_of(tmp_path, f"bad.{form}"))
    assert kinds(findings) == ["almost-black", "unusual-pixels"]
    (example,) = the(findings, "almost-black").examples
    assert example.caption == f"brightest {2**bits - 1:,} of 65,535, which takes {bits} bits"
    assert "keep them" in the(findings, "almost-black").remedy


def test_few_bits_in_sixteen_of_each_colour_are_told_too(tmp_path: Path) -> None:
    values = (np.random.default_rng(0).integers(0, 4096, (64, 64, 3)) >> 8).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "bad.png")  # as Pillow reads such a file
    (finding,) = examine_files(folder_of(tmp_path, "bad.png"))
    assert finding.kind == "almost-black"
    assert finding.examples[0].caption.endswith("of 255")


@pytest.mark.parametrize("value", [0, 5_000, 40_000])
def test_sixteen_bits_of_one_even_gray_are_blank(value: int, tmp_path: Path) -> None:
    Image.fromarray(np.full((64, 64), value, np.uint16)).save(tmp_path / "bad.png")
    findings = examine_files(folder_of(tmp_path, "bad.png"))
    assert kinds(findings) == ["blank", "unusual-pixels"]


def test_eps_called_jpg_is_unreadable_and_starts_no_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*words: object, **_: object) -> None:
        raise AssertionError(f"{words} was started")

    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, start)
    (tmp_path / "bad.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 48\n%%EndComments\nshowpage\n%%EOF\n"
    )
    (example,) = the(examine_files(folder_of(tmp_path, "bad.jpg")), "unreadable").examples
    assert example.caption.startswith("it is none of JPEG, PNG")
    assert picture_uri(tmp_path, "bad.jpg") == ""


def test_what_training_refuses_by_its_size_is_an_error_in_the_same_words(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(png_header(20_000, 10_001))
    (example,) = the(examine_files(folder_of(tmp_path, "bad.png")), "refused-size").examples
    with pytest.raises(DataError, match=example.caption):
        gray_face(tmp_path / "bad.png", 48)


def test_a_phones_largest_jpeg_is_a_warning_as_training_reads_it(tmp_path: Path) -> None:
    Image.new("L", (16320, 12240), 128).save(tmp_path / "bad.jpg", quality=30)
    (finding,) = examine_files(folder_of(tmp_path, "bad.jpg"))
    assert (finding.kind, finding.severity) == ("huge", "warning")
    assert gray_face(tmp_path / "bad.jpg", 48).shape == (48, 48)


def test_the_orientation_of_a_tiff_is_noted_and_its_sides_are_those_of_the_upright_photo(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    face((90, 64)).save(tmp_path / "bad.tif", exif=exif)
    record = read_record(tmp_path / "bad.tif")
    assert (record.orientation, record.width, record.height) == (6, 64, 90)


def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    assert images(the(examine_files(folder_of(tmp_path, "gone.png")), "unreadable")) == ["gone.png"]


def test_a_file_of_too_many_bytes_is_not_even_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.data.file_info.MOST_BYTES", 100)
    record = read_record(tmp_path / plant(tmp_path, "tiny"))
    assert (record.problem, record.digest) == ("huge", "")


def test_faults_are_counted_over_all_files(tmp_path: Path) -> None:
    table = crowd(tmp_path, 6)
    for path in table.paths[:3]:
        (tmp_path / path).write_bytes(b"torn")
    face((30, 30)).save(tmp_path / table.paths[5])
    findings = examine_files(table)
    assert kinds(findings) == ["unreadable", "tiny"]
    assert the(findings, "unreadable").what == "3 images cannot be read"


def test_what_training_leaves_out_is_only_a_warning(tmp_path: Path) -> None:
    table = folder_of(tmp_path, plant(tmp_path, "unreadable"))
    (finding,) = examine_files(table, DataConfig(on_bad_image="skip"))
    assert (finding.severity, finding.consequence) == ("warning", "they are left out")


def test_good_files_of_every_format_have_no_fault(tmp_path: Path) -> None:
    names = [f"a{suffix}" for suffix in sorted(SUFFIXES - {".pfm", ".pbm"})] + ["H.JPG"]
    for name in names:
        face().save(tmp_path / name)
    face().convert("RGB").save(tmp_path / "colour.jpg")
    assert examine_files(folder_of(tmp_path, "colour.jpg", *names)) == []


def test_a_record_says_what_the_file_is(tmp_path: Path) -> None:
    red = Image.merge("RGB", (face((100, 80)), Image.new("L", (100, 80)), Image.new("L", (100, 80))))
    red.save(tmp_path / "red.png")
    record = read_record(tmp_path / "red.png")
    assert (record.width, record.height, record.format, record.mode) == (100, 80, "PNG", "RGB")
    assert record.num_bytes == (tmp_path / "red.png").stat().st_size
    assert 110 < record.chroma < 145  # the mean of the noise that is red
    face().convert("RGB").save(tmp_path / "gray.png")
    assert read_record(tmp_path / "gray.png").chroma == 0


def test_a_blurred_copy_is_less_sharp_whatever_its_contrast(tmp_path: Path) -> None:
    small = face((12, 12)).resize((64, 64), Image.Resampling.BICUBIC)
    small.save(tmp_path / "blurred.png")
    face().save(tmp_path / "sharp.png")
    face().point(lambda value: value // 3).save(tmp_path / "dim.png")
    blurred, sharp, dim = (
        read_record(tmp_path / f"{name}.png").sharpness for name in ("blurred", "sharp", "dim")
    )
    assert blurred < sharp - 1
    assert dim == pytest.approx(sharp, abs=0.05)


def test_the_same_bytes_have_the_same_digest(tmp_path: Path) -> None:
    face().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    face((65, 64)).save(tmp_path / "c.png")
    a, b, c = (read_record(tmp_path / f"{name}.png").digest for name in "abc")
    assert a == b != c
