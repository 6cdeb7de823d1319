"""fer-mlops predict: what is asked, what is printed, and what is said of bad images."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import fer
from PIL import Image, ImageDraw
from quick import blobs, bundle, encoded, save_blobs
from services import save_bundle
from skimage import data

from fer_mlops import load
from fer_mlops.cli.main import cli
from fer_mlops.emotions import EMOTIONS
from fer_mlops.serving import image_predictions
from fer_mlops.serving.image_inputs import ImageInput, queries_of


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bundle(tmp_path_factory.mktemp("model")))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def give_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_a_table_has_a_line_per_image(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    save_blobs(Path("faces"), 3)
    expected = load(model).predict([Path("faces") / f"00{n}.png" for n in range(3)])
    status, out, err = fer(capfd, "predict", "faces", "--model", model)
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"{a.emotion:9} {a.confidence:.2f}  {'sure' if a.is_sure else 'not sure':8}  faces/00{n}.png"
        for n, a in enumerate(expected)
    ]


def test_a_model_that_is_never_sure_says_so_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_blobs(Path("faces"), 2)
    words = ["predict", "faces", "--model", str(save_bundle(tmp_path / "bundle")), "--balanced"]
    status, out, err = fer(capfd, *words)
    assert (status, out.count("not sure")) == (0, 2)
    assert err.splitlines() == [
        "fer-mlops: this model is never sure: its validation faces were too few, or too often wrong, to "
        "set a threshold; --threshold sets one"
    ]
    assert fer(capfd, *words, "--threshold", "0.3")[2] == ""


def test_json_is_one_object_per_line(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    save_blobs(Path("faces"), 2)
    expected = load(model).predict(blobs(2))
    _, out, _ = fer(capfd, "predict", "faces", "--model", model, "--format", "json")
    for number, (line, answer) in enumerate(zip(out.splitlines(), expected, strict=True)):
        told = json.loads(line)
        assert list(told) == ["image", "emotion", "confidence", "is_sure", "probabilities"]
        assert told["image"] == f"faces/00{number}.png"
        assert (told["emotion"], told["is_sure"]) == (answer.emotion, answer.is_sure)
        assert told["probabilities"] == pytest.approx(answer.probabilities, abs=1e-6)


def test_csv_has_a_header_and_quotes_what_needs_it(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path('a,"b".png').write_bytes(encoded(blobs(1)[0]))
    answer = load(model).predict(blobs(1)[0], point="balanced", threshold=0.1)
    words = ["--model", model, "--format", "csv", "--balanced", "--threshold", "0.1"]
    _, out, _ = fer(capfd, "predict", 'a,"b".png', *words)
    (row,) = csv.DictReader(io.StringIO(out))
    assert list(row) == ["image", "emotion", "confidence", "is_sure", *EMOTIONS]
    assert row["image"] == 'a,"b".png'
    assert row["is_sure"] == str(answer.is_sure).lower()
    assert [float(row[e]) for e in EMOTIONS] == pytest.approx(
        list(answer.probabilities.values()), abs=1e-6
    )


@pytest.mark.parametrize("form", ["csv", "json"])
def test_output_for_programs_is_utf_8_whatever_the_terminal_takes(
    form: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("фото.png").write_bytes(encoded(blobs(1)[0]))
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252"))
    words = ["predict", "фото.png", "--model", model, "--format", form]
    assert cli.main(words, standalone_mode=False) == 0
    sys.stdout.flush()
    assert "фото.png" in written.getvalue().decode()


def test_bad_images_are_told_and_the_others_answered(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    save_blobs(Path("faces"), 2)
    Path("faces/0005.png").write_bytes(encoded(blobs(1)[0])[:200])
    status, out, err = fer(capfd, "predict", "faces", "nowhere.png", "--model", model)
    assert status == 1
    assert [line.split()[-1] for line in out.splitlines()] == ["faces/000.png", "faces/001.png"]
    first, second = err.splitlines()
    assert first.startswith("fer-mlops: 'faces/0005.png' cannot be read as an image: ")
    assert second == "fer-mlops: no file or folder 'nowhere.png'"


def test_a_mistyped_folder_gets_the_nearest_one(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    save_blobs(Path("photos"), 1)
    status, _, err = fer(capfd, "predict", "photo", "--model", model)
    assert (status, err) == (1, "fer-mlops: no file or folder 'photo'; did you mean 'photos'?\n")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM"])
def test_standard_input_may_be_an_image(
    form: str, model: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(blobs(1)[0], form)
    give_stdin(monkeypatch, content)
    status, out, _ = fer(capfd, "predict", "-", "--model", model, "--format", "json")
    assert status == 0
    told = json.loads(out)
    assert told["image"] == "-"
    assert told["confidence"] == pytest.approx(load(model).predict(content).confidence, abs=1e-6)


def test_standard_input_may_be_paths() -> None:
    names = save_blobs(Path("faces"), 2)
    Path("é.png").write_bytes(b"")
    lines = "faces\n\né.png\r\nlast".encode()
    assert list(queries_of(["-"], io.BytesIO(lines))) == [
        *(ImageInput(f"faces/{name}", Path("faces") / name) for name in names),
        ImageInput("é.png", Path("é.png")),
        ImageInput("last", Path("last")),
    ]
    assert list(queries_of(["-"], io.BytesIO(b""))) == []
    for start in ("", "a"):  # one of which has a letter cut in two where text is told from images
        many = [f"{start}{'ü' * 4000}", "last"]
        given = io.BytesIO("\n".join(many).encode())
        assert [q.name for q in queries_of(["-"], given) if isinstance(q, ImageInput)] == many


def test_a_name_that_cannot_be_is_told_like_any_other(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, err = fer(capfd, "predict", "n" * 5000, "a\0b", "--model", model)
    assert (status, out) == (1, "")
    assert [line.rpartition(": ")[2] for line in err.splitlines()] == [
        "File name too long",
        "embedded null byte",
    ]


def test_a_name_that_is_no_text_is_shown_all_the_same(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with open(b"\xe9t\xe9.png", "wb") as file:  # noqa: PTH123 - as bytes
        file.write(encoded(blobs(1)[0]))
    status, out, err = fer(capfd, "predict", ".", "--model", model, "--format", "json")
    assert (status, err) == (0, "")
    assert json.loads(out)["image"] == "\ufffdt\ufffd.png"


def test_heat_maps_are_written_beside_the_answers(
    model: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_predictions, "_AT_ONCE", 1)  # so that numbers go on over batches
    save_blobs(Path("faces"), 2)
    words = ["--model", model, "--format", "json", "--explain", "--out", "seen"]
    status, out, err = fer(capfd, "predict", "faces", *words)
    assert (status, err) == (0, "")
    pictures = [json.loads(line)["picture"] for line in out.splitlines()]
    emotions = [json.loads(line)["emotion"] for line in out.splitlines()]
    assert pictures == [f"seen/00{n}_00{n}_{e}_gradcam.png" for n, e in enumerate(emotions)]
    for picture in pictures:
        with Image.open(picture) as opened:
            assert opened.size == (192, 192)
    assert sorted(map(str, Path("seen").iterdir())) == pictures


def test_faces_of_a_photo_are_found_framed_and_told(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    photo = Image.fromarray(data.astronaut())
    photo.save("photo.png")
    Image.fromarray(data.coffee()).save("photo_without.png")
    words = ["photo.png", "photo_without.png", "nowhere.png", "--model", model]
    status, out, err = fer(capfd, "predict", *words, "--faces", "--out", "seen", "--format", "json")
    assert status == 1
    told = json.loads(out)
    left, top, right, bottom = told["box"]
    assert left < 224 < right
    assert top < 112 < bottom
    assert (told["image"], told["face"], told["picture"]) == ("photo.png", 0, "seen/000_photo_faces.jpg")
    (found,) = load(model).find(photo)
    assert told["box"] == list(found.box)
    assert told["confidence"] == pytest.approx(found.answer.confidence, abs=1e-6)
    assert err.splitlines() == [
        "fer-mlops: no face found in 'photo_without.png'",
        "fer-mlops: no file or folder 'nowhere.png'",
    ]
    with Image.open(told["picture"]) as opened:
        drawn = np.asarray(opened.convert("RGB"), np.int16)
    changed = np.abs(drawn - np.asarray(photo, np.int16)).max(2) > 60
    assert changed[top : bottom + 1, left].mean() > 0.7
    assert not changed[300:].any()


def test_a_person_reads_faces_numbered_from_1(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda pen, xy, text, **style: drawn.append(text) or draw(pen, xy, text, **style),
    )
    Image.fromarray(data.astronaut()).save("photo.png")
    words = ["photo.png", "--model", model, "--faces", "--explain", "--out", "seen"]
    status, out, err = fer(capfd, "predict", *words)
    assert status == 0, err
    assert "face 1 at " in out
    assert [text.split()[0] for text in drawn] == ["1"]
    assert [path.name for path in Path("seen").glob("*_face1_*.png")]


def test_csv_of_faces_has_their_places(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(data.astronaut()).save("photo.png")
    words = ["photo.png", "--model", model, "--faces", "--format", "csv"]
    _, out, _ = fer(capfd, "predict", *words)
    (row,) = csv.DictReader(io.StringIO(out))
    assert list(row)[:7] == ["image", "face", "left", "top", "right", "bottom", "emotion"]
    assert int(row["right"]) - int(row["left"]) == int(row["bottom"]) - int(row["top"]) > 50


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["faces"], 1, "no image below 'faces'"),
        (["a.png", "--explain"], 2, "name a folder for them with --out"),
        (["a.png", "--out", "x"], 2, "--out has no effect without --faces or --explain"),
        (["a.png", "--threshold", "2"], 2, "threshold must be between 0 and 1, got 2.0"),
        ([], 2, "Missing argument 'IMAGES...'"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    words: list[str], status: int, says: str, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("faces").mkdir()
    Path("a.png").write_bytes(encoded(blobs(1)[0]))
    ended, out, err = fer(capfd, "predict", *words, "--model", model)
    assert (ended, out) == (status, "")
    assert says in err
    assert "Traceback" not in err


def test_a_folder_for_pictures_that_cannot_be_is_one_sentence(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("a.png").write_bytes(encoded(blobs(1)[0]))
    status, _, err = fer(capfd, "predict", "a.png", "--model", model, "--explain", "--out", "a.png")
    assert (status, err) == (1, "fer-mlops: cannot write to 'a.png': File exists\n")


def test_files_of_a_folder_that_are_not_read_are_counted_beside_the_answers(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    save_blobs(Path("faces"), 1)
    for name in ("a.heic", "b.HEIC", "c.mp4"):
        (Path("faces") / name).touch()
    status, out, err = fer(capfd, "predict", "faces", "--model", model)
    assert (status, out.count("\n")) == (0, 1)
    why = "3 files are not read, not an image in a known format: 2 .heic, 1 .mp4"
    assert err == f"fer-mlops: below 'faces', {why}\n"
