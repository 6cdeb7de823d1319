"""Frames of films and of a camera: which ones, which way up, and what is said of bad ones."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import fer
from quick import bundle

from fer_mlops.errors import ConfigError, DataError
from fer_mlops.images import video
from fer_mlops.images.video import camera_frames, film_frames, is_film

av = pytest.importorskip("av")
RATE, NUM = 10, 25


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bundle in the folder that the test stands in."""
    monkeypatch.chdir(tmp_path)
    return str(bundle(tmp_path / "model"))


def save_film(path: Path, *, rotation: int = 0, codec: str = "libx264") -> None:
    """Writes 2.5 seconds, dark to light, with a bar at the left that is white in every frame."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        for number in range(NUM):
            picture = np.full((64, 96, 3), number * 10, np.uint8)
            picture[:, :16] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture)):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@pytest.mark.parametrize(
    ("every", "times"),
    [(1.0, [0, 1, 2]), (0.5, [0, 0.5, 1, 1.5, 2]), (0.25, [0, 0.3, 0.5, 0.8, 1, 1.3, 1.5, 1.8, 2, 2.3])],
)
def test_a_frame_is_taken_each_so_many_seconds(tmp_path: Path, every: float, times: list[float]) -> None:
    save_film(tmp_path / "film.mp4")
    frames = list(film_frames(tmp_path / "film.mp4", every))
    assert [frame.seconds for frame in frames] == pytest.approx(times)
    tones = [np.asarray(frame.image.convert("L"))[32, 60] for frame in frames]
    assert tones == pytest.approx([100 * time for time in times], abs=6)


def test_no_frame_is_taken_twice_however_often_one_is_wanted(tmp_path: Path) -> None:
    save_film(tmp_path / "film.mp4")
    assert len(list(film_frames(tmp_path / "film.mp4", 0.001))) == NUM


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mkv", "mpeg4"), ("b.webm", "libvpx-vp9"), ("C.AVI", "mpeg4")]
)
def test_other_kinds_of_films_are_read(tmp_path: Path, name: str, codec: str) -> None:
    save_film(tmp_path / name, codec=codec)
    assert is_film(tmp_path / name)
    assert len(list(film_frames(tmp_path / name, 1.0))) == 3


def test_a_film_of_a_phone_held_upright_is_turned(tmp_path: Path) -> None:
    save_film(tmp_path / "film.mp4", rotation=90)
    (frame, *_) = film_frames(tmp_path / "film.mp4", 9.0)
    assert frame.image.size == (64, 96)
    gray = np.asarray(frame.image.convert("L"))
    assert gray[-8:].min() > 200  # turned against the clock, what was left is at the bottom
    assert gray[:60].max() < 50


def test_what_is_no_film_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mp4").touch()
    for name in ("text.mp4", "empty.mp4", "missing.mp4"):
        with pytest.raises(DataError, match=name):
            list(film_frames(tmp_path / name, 1.0))


def test_a_film_without_pictures_is_told(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        for packet in [*stream.encode(sound), *stream.encode()]:
            container.mux(packet)
    with pytest.raises(DataError, match="no video in"):
        list(film_frames(tmp_path / "sound.mp4", 1.0))


def test_a_film_that_breaks_off_is_answered_up_to_there(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    save_film(tmp_path / "whole.mp4")
    save_film(tmp_path / "cut.mkv", codec="mpeg4")
    frames = video.film_frames(tmp_path / "cut.mkv", 1.0)

    def breaking(path: Path, every: float):  # type: ignore[no-untyped-def]
        yield next(frames)
        raise DataError("cannot read 'cut.mkv': it broke off")

    monkeypatch.setattr("fer_mlops.serving.image_inputs.film_frames", breaking)
    status, out, err = fer(capfd, "predict", "cut.mkv", "--model", model, "--format", "json")
    assert (status, err) == (1, "fer-mlops: cannot read 'cut.mkv': it broke off\n")
    assert [json.loads(line)["image"] for line in out.splitlines()] == ["cut.mkv@0.00s"]


def test_predict_names_frames_and_writes_a_picture_of_each(
    model: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_film(tmp_path / "film.mp4")
    words = ["--model", model, "--format", "json", "--every", "0.5", "--explain", "--out", "seen"]
    status, out, err = fer(capfd, "predict", "film.mp4", "missing.png", *words)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"] for row in rows] == [f"film.mp4@{s:.2f}s" for s in (0, 0.5, 1, 1.5, 2)]
    assert len({row["picture"] for row in rows}) == 5
    assert rows[1]["picture"].startswith("seen/001_film@0.50s_")
    assert all(Path(row["picture"]).is_file() for row in rows)
    assert status == 1
    assert "missing.png" in err


def test_every_must_be_more_than_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = fer(capfd, "predict", "film.mp4", "--every", "0")
    assert status == 2
    assert "--every" in err


def test_a_camera_is_answered_frame_by_frame(
    model: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # FFmpeg's own test picture in place of a camera: it is a device that is read the same way
    picture = "testsrc=duration=3:rate=10:size=96x64"
    monkeypatch.setitem(video._CAMERAS, platform.system(), ("lavfi", picture))
    status, out, err = fer(capfd, "predict", "webcam", "webcam:1", "--model", model, "--format", "json")
    assert (status, err) == (0, "")
    assert [json.loads(line)["image"] for line in out.splitlines()] == [
        f"{camera}@{seconds}.00s" for camera in ("webcam", "webcam:1") for seconds in range(3)
    ]


def test_a_camera_that_is_not_there_is_told(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = fer(capfd, "predict", "webcam:97", "--model", model)
    assert status == 1
    assert err.startswith("fer-mlops: cannot read camera 97: ")


def test_a_system_without_cameras_we_know_is_sent_to_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Plan9")
    with pytest.raises(ConfigError, match="page of `fer-mlops serve`"):
        next(camera_frames(0, 1.0))


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"fer-mlops\[video\]"):
        next(film_frames(tmp_path / "film.mp4", 1.0))
