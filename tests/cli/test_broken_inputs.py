"""Broken data in, one sentence out: a table of what a user's files can do to us."""

from __future__ import annotations

import io
import os
import shutil
import signal
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner
from expert_files import publish
from PIL import Image

from fer_mlops.cli import main
from fer_mlops.cli.main import cli
from fer_mlops.errors import DataError, WeightsError

pytestmark = pytest.mark.usefixtures("world")


def encoded(kind: str, side: int = 40) -> bytes:
    """Returns a noisy picture as a file of this kind."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Returns a PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def wrong_crc(content: bytes) -> bytes:
    return content[:30] + bytes([content[30] ^ 255]) + content[31:]


BROKEN_FILES: dict[str, bytes] = {
    "empty file": b"",
    "one byte": b"\xff",
    "JPEG start only": b"\xff\xd8\xff\xe0",
    "JPEG cut in half": encoded("JPEG")[: len(encoded("JPEG")) // 2],
    "JPEG cut in its header": encoded("JPEG")[:100],
    "JPEG overwritten with zeros": encoded("JPEG")[:20] + bytes(500),
    "PNG cut in half": encoded("PNG")[: len(encoded("PNG")) // 2],
    "PNG with a wrong checksum": wrong_crc(encoded("PNG")),
    "PNG of no width": png_header(0, 10),
    "PNG bomb": png_header(60_000, 60_000),
    "PNG that claims more than it has": png_header(400, 400),
    "WebP cut in half": encoded("WEBP")[: len(encoded("WEBP")) // 2],
    "GIF cut in half": encoded("GIF")[:200],
    "BMP header only": encoded("BMP")[:54],
    "TIFF header only": encoded("TIFF")[:8],
    "TIFF of garbage": b"II*\0" + os.urandom(64),
    "text": b"this is no image at all, really",
    "web page": b"<!DOCTYPE html><html><title>404 Not Found</title></html>",
    "vector drawing": b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>',
    "JSON": b'{"face": null}',
    "zip archive": b"PK\x03\x04" + bytes(100),
    "git-lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n",
}
"""What stands in a file named like an image."""

Make = Callable[[Path, Path], list[str]]
"""Takes a sound folder of faces and a new folder; returns the words after ``fer-mlops``."""


def copied(good: Path, target: Path) -> Path:
    return Path(shutil.copytree(good, target))


def with_link(to: str) -> Make:
    def make(good: Path, new: Path) -> list[str]:
        (copied(good, new) / "happiness" / "zoe_1.png").symlink_to(to)
        return ["--data", str(new)]

    return make


def with_pipe(good: Path, new: Path) -> list[str]:
    os.mkfifo(copied(good, new) / "happiness" / "zoe_1.png")
    return ["--data", str(new)]


def with_folder(name: str) -> Make:
    def make(good: Path, new: Path) -> list[str]:
        target = copied(good, new) / name
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(next((good / "happiness").iterdir()), target / "zoe_1.png")
        return ["--data", str(new)]

    return make


def only(*emotions: str, each: int = 100) -> Make:
    def make(good: Path, new: Path) -> list[str]:
        for emotion in emotions:
            (new / emotion).mkdir(parents=True)
            for path in sorted((good / emotion).iterdir())[:each]:
                shutil.copy(path, new / emotion / path.name)
        return ["--data", str(new)]

    return make


def table(content: str | bytes, *options: str) -> Make:
    """A csv beside the faces; ``{}`` in it stands for sound rows."""

    def make(good: Path, new: Path) -> list[str]:
        file = copied(good, new) / "faces.csv"
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            file.write_text(content.replace("{}", sound_rows(good)), encoding="utf-8")
        return ["--data", str(file), *options]

    return make


def sound_rows(good: Path) -> str:
    paths = sorted(good.glob("*/*.png"))
    return "".join(f"{path.relative_to(good)},{path.parent.name}\n" for path in paths)


def beside(name: str, content: str, option: str) -> Make:
    """Sound faces, and a file that an option names."""

    def make(good: Path, new: Path) -> list[str]:
        new.mkdir()
        (new / name).write_text(content, encoding="utf-8")
        return ["--data", str(good), option, str(new / name)]

    return make


def saying(*options: str) -> Make:
    return lambda good, _: ["--data", str(good), *options]


def nothing(good: Path, new: Path) -> list[str]:
    new.mkdir()
    return ["--data", str(new)]


def utf16(good: Path, new: Path) -> list[str]:
    return table(("image,emotion\n" + sound_rows(good)).encode("utf-16"))(good, new)


def latin1(good: Path, new: Path) -> list[str]:
    return table("image,emotion\nhappiness/jürgen_1.png,happy\n".encode("latin-1"))(good, new)


HEAD = "image,emotion\n"
BROKEN: list[tuple[str, Make, int, str]] = [
    # what is broken, how to make it, exit status, what the sentence holds
    ("link to nowhere", with_link("nowhere.png"), 1, "no image at"),
    ("link to itself", with_link("zoe_1.png"), 1, "no image at"),
    ("link to a folder of other faces", with_link("../sadness"), 1, "who share a photo count as one"),
    ("link to an endless device", with_link("/dev/zero"), 1, "no image at"),
    ("named pipe", with_pipe, 1, "no image at"),
    ("folder named like an image", with_folder("happiness/zoe.png"), 0, ""),
    ("folder that is no emotion", with_folder("hapiness"), 1, "did you mean 'happiness'"),
    ("folder of contempt", with_folder("contempt"), 0, ""),
    ("hidden folder", with_folder("happiness/.trash"), 0, ""),
    ("folder that an unpacker left", with_folder("__MACOSX"), 0, ""),
    ("empty folder", nothing, 1, "holds no image"),
    ("one emotion", only("happiness"), 1, "at least two"),
    ("one face of an emotion", only("happiness", "sadness", each=1), 1, "1 face; each emotion needs"),
    ("two people", only("happiness", "sadness", "fear", each=2), 1, "2 faces; each emotion needs"),
    ("path that does not exist", lambda g, n: ["--data", str(n)], 1, "no data set or path"),
    ("data set that does not exist", lambda g, n: ["--data", "fer2014"], 1, "no data set or path"),
    ("data set without a path", lambda g, n: ["--data", "rafdb"], 1, "needs a path"),
    ("named data set at no path", lambda g, n: ["--data", f"rafdb:{n}"], 1, "no folder or file at"),
    ("named data set at a wrong path", lambda g, n: ["--data", f"rafdb:{g}"], 1, "list_patition_label"),
    ("home of nobody", lambda g, n: ["--data", "~nobody-of-this-name"], 1, "no data set or path"),
    ("image instead of a csv", lambda g, n: ["--data", str(next(g.glob("*/*.png")))], 1, "UTF-8"),
    ("device instead of a csv", lambda g, n: ["--data", "/dev/null"], 1, "no data set or path"),
    ("name with a zero byte", lambda g, n: ["--data", "faces\0.csv"], 1, "no data set or path"),
    ("endless name", lambda g, n: ["--data", "a" * 5000], 1, "cannot read"),
    ("empty csv", table(""), 1, "needs columns image, emotion; it has none"),
    ("csv of a header only", table(HEAD), 1, "has no labelled face"),
    ("csv with other columns", table("file,label\n"), 1, "needs columns image, emotion"),
    ("csv with an unknown emotion", table(HEAD + "{}happiness/p000_0.png,hapy\n"), 1, "did you mean"),
    (
        "csv with a missing image",
        table(HEAD + "{}happiness/zoe.png,happy\n"),
        1,
        "line 142: no image at",
    ),
    ("csv with an image above it", table(HEAD + "../../../etc/passwd,happy\n"), 1, "lies outside"),
    ("csv with an absolute path", table(HEAD + "/etc/passwd,happy\n"), 1, "lies outside"),
    ("csv with a drive", table(HEAD + "C:\\faces\\a.png,happy\n"), 1, "lies outside"),
    ("csv with an address", table(HEAD + "http://localhost/a.png,happy\n"), 1, "no image at"),
    ("csv with an unnamed image", table(HEAD + "{},happy\n"), 1, "no image is named"),
    ("csv with a zero byte", table(HEAD.encode() + b"a\0b.png,happy\n"), 1, "faces.csv"),
    ("csv in UTF-16", utf16, 1, "save it as UTF-8"),
    ("csv in Latin-1", latin1, 1, "save it as UTF-8"),
    ("csv with an unclosed quote", table(HEAD + '"{}'), 1, "faces.csv"),
    ("csv with an endless cell", table(HEAD + "a" * 200_000 + ".png,happy\n"), 1, "faces.csv"),
    ("csv without labels", table(HEAD + "happiness/p000_0.png,\n"), 1, "has no labelled face"),
    ("csv of contempt", table(HEAD + "happiness/p000_0.png,contempt\n"), 1, "has no labelled face"),
    (
        "csv that contradicts itself",
        table(HEAD + "happiness/p000_0.png,happy\nhappiness/p000_0.png,sad\n"),
        1,
        "has no labelled face",
    ),
    (
        "csv with an unknown part",
        table("image,emotion,part\nhappiness/p000_0.png,happy,dev2\n"),
        1,
        "part",
    ),
    ("csv with blank lines", table(HEAD + "\n{}\n\n"), 0, ""),
    ("csv with a column twice", table("image,image,emotion\na.png,b.png,happy\n"), 1, "faces.csv"),
    ("csv with rows too long", table(HEAD + "{}happiness/p000_0.png,happy,more,and more\n"), 0, ""),
    ("pattern that is no pattern", saying("--identity-pattern", "("), 2, "regular expression"),
    ("pattern without a group", saying("--identity-pattern", "p[0-9]+"), 2, "needs a group"),
    ("relabelling that is not there", saying("--relabel", "nowhere.csv"), 1, "nowhere.csv"),
    ("relabelling of no image", beside("r.csv", HEAD + "a.png,happy\n", "--relabel"), 1, "has no image"),
    (
        "relabelling to no emotion",
        beside("r.csv", HEAD + "happiness/p000_0.png,hapy\n", "--relabel"),
        1,
        "r.csv line 2: unknown emotion 'hapy'",
    ),
    ("relabelling that is a folder", saying("--relabel", "."), 1, "cannot read"),
    ("split that is not there", saying("--split", "nowhere.csv"), 1, "nowhere.csv"),
    (
        "split of other faces",
        beside("s.csv", "image,part\na.png,test\n", "--split"),
        1,
        "has no part for",
    ),
    ("split without parts", beside("s.csv", HEAD, "--split"), 1, "needs columns image, part"),
    ("split of an unknown kind", saying("--split", "person"), 2, "data.split must be one of"),
    ("split given by nobody", saying("--split", "given"), 1, "has no train and a test part"),
    ("two folds", saying("--folds", "2"), 2, "data.folds must be 0, or 3 or more"),
    ("folds that are no number", saying("--folds", "many"), 2, "neither a number"),
    ("folds of a given split", saying("--split", "given", "--folds", "5"), 2, "with folds"),
    ("more folds than people", saying("--folds", "50"), 1, "cannot be divided into 50 parts"),
    ("shares that leave no training", saying("--set", "data.test_share=0.7"), 2, "must be below 0.5"),
    ("seed below zero", saying("--seed", "-1"), 2, "seed must be 0 or more"),
    ("contempt as no emotion", saying("--contempt", "pride"), 2, "pride"),
]


@contextmanager
def no_hanging(seconds: int = 20) -> Iterator[None]:
    """Ends what waits for ever."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"nothing came within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def prepare(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Returns the exit status of a run that reads and divides its faces, and trains nothing."""
    from fer_mlops.pipelines import train

    def stop(*_: object, **__: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(train, "run_experiment", stop)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    small = [
        "--image-size",
        "32",
        "--set",
        "hog_svm.cells=[8]",
        "--set",
        "tracking.system_metrics=false",
    ]
    monkeypatch.setattr(sys, "argv", ["fer-mlops", "baseline", *small, *words])
    with no_hanging(), pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def runs() -> int:
    experiments = mlflow.search_experiments()
    return len(mlflow.MlflowClient().search_runs([each.experiment_id for each in experiments]))


def one_sentence(error: str) -> str:
    """Returns the message, which must be one line without a traceback."""
    lines = [
        line for line in error.splitlines() if not line.startswith(("Usage:", "Try ", "\n")) and line
    ]
    assert len(lines) == 1, error
    assert len(lines[0]) < 5600
    assert "Traceback" not in error
    return lines[0]


@pytest.mark.parametrize(
    ("make", "status", "said"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN]
)
def test_broken_data_ends_in_one_sentence_before_any_run_begins(
    make: Make,
    status: int,
    said: str,
    faces_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = make(faces_folder, tmp_path / "new")
    assert prepare(words, monkeypatch) == status
    if status:
        assert said in one_sentence(capfd.readouterr().err)
        assert runs() == 0


@pytest.mark.parametrize("content", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_a_broken_image_stops_with_its_name_or_is_left_out(
    content: bytes,
    faces_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    broken = copied(faces_folder, tmp_path / "new") / "happiness" / "zoe_1.png"
    broken.write_bytes(content)
    words = ["--data", str(tmp_path / "new")]
    assert prepare(words, monkeypatch) == 1
    sentence = one_sentence(capfd.readouterr().err)
    assert str(broken) in sentence
    assert sentence.endswith("or leave them out with --on-bad-image skip")
    assert runs() == 0
    assert prepare([*words, "--on-bad-image", "skip"], monkeypatch) == 0


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_face_that_may_not_be_read_is_named(
    faces_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    locked = next((copied(faces_folder, tmp_path / "new") / "happiness").iterdir())
    locked.chmod(0)
    assert prepare(["--data", str(tmp_path / "new")], monkeypatch) == 1
    assert str(locked) in one_sentence(capfd.readouterr().err)


def test_the_table_is_as_long_as_promised() -> None:
    assert len(BROKEN) + len(BROKEN_FILES) >= 80


@pytest.mark.parametrize("words", [["baseline"], ["cnn"], ["all"], ["tune", "baseline"]])
def test_a_mistyped_data_path_is_refused_before_a_store_is_made(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.tracking.store.check_store", lambda *_: pytest.fail("a store"))
    done = CliRunner().invoke(cli, [*words, "--data", "fcaes"])
    assert isinstance(done.exception, DataError), done.output
    assert "no data set or path 'fcaes'" in str(done.exception)


def test_an_ensemble_without_weights_is_refused_before_a_store_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, monkeypatch)
    monkeypatch.setattr("fer_mlops.tracking.store.check_store", lambda *_: pytest.fail("a store"))
    done = CliRunner().invoke(cli, ["ensemble", "--data", "sample"])
    assert isinstance(done.exception, WeightsError), done.output
    assert "fer-mlops weights get face_api mini_xception" in str(done.exception)
