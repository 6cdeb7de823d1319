"""A table of faces, decoded once and read by rows."""

from __future__ import annotations

import errno
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from rivals import at_once

from fer_mlops.data.image_cache import load_images
from fer_mlops.data.table import FaceTable, Note, Row, make_table
from fer_mlops.errors import DataError
from fer_mlops.images.arrays import CachedImages, take_images

SIDE = 6


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


def test_faces_come_row_for_row_from_disk(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10, 20, 30)
    same, pixels = load_images(table, SIDE, cache)
    assert same is table
    assert (pixels.shape, len(pixels), pixels[:].dtype) == ((3, SIDE, SIDE), 3, np.uint8)
    assert pixels[:][:, 0, 0].tolist() == [10, 20, 30]
    assert pixels[np.array([2, 0])][:, 0, 0].tolist() == [30, 10]
    assert pixels[-1].tolist() == [[30] * SIDE] * SIDE
    assert np.array_equal(np.asarray(pixels), pixels[0:3])


def test_faces_that_were_taken_are_rows_of_the_same_file(tmp_path: Path, cache: Path) -> None:
    _, pixels = load_images(faces_in(tmp_path / "faces", 10, 20, 30, 40), SIDE, cache)
    taken = take_images(take_images(pixels, np.array([3, 1, 0])), np.array([0, 2]))
    assert isinstance(taken, CachedImages)
    assert taken[:][:, 0, 0].tolist() == [40, 10]
    assert taken.shape == (2, SIDE, SIDE)
    assert take_images(pixels[:], np.array([1]))[:, 0, 0].tolist() == [20]


def test_reading_rows_does_not_change_the_file(tmp_path: Path, cache: Path) -> None:
    _, pixels = load_images(faces_in(tmp_path / "faces", 10, 20), SIDE, cache)
    pixels[:][:] = 0
    assert pixels[:][:, 0, 0].tolist() == [10, 20]


def test_faces_keep_their_order_over_many_chunks(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", *[i % 251 for i in range(700)])
    _, pixels = load_images(table, SIDE, cache)
    assert pixels[:][:, 0, 0].tolist() == [int(Path(path).stem) % 251 for path in table.paths]


def test_faces_are_decoded_once(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10, 20)
    done: list[tuple[int, str]] = []

    def advance(count: int, note: Callable[[], str] | None = None) -> None:
        done.append((count, note() if note else "decoded"))

    for _ in range(2):
        _, pixels = load_images(table, SIDE, cache, advance=advance)
        assert pixels[:][:, 0, 0].tolist() == [10, 20]
    assert done == [(2, "decoded"), (2, "2 faces (cached)")]
    assert len(list(cache.glob("*.npy"))) == 1


def test_decoding_happens_in_the_cache_itself_and_not_in_another_file_system(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
    assert load_images(faces_in(tmp_path / "faces", 10), SIDE, cache)[1].shape == (1, SIDE, SIDE)


def test_a_changed_file_is_noticed(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10, 20)
    load_images(table, SIDE, cache)
    path = tmp_path / "faces" / "1.png"
    size = path.stat().st_size
    Image.new("L", (8, 8), 21).save(path)
    assert path.stat().st_size == size  # so only its time tells
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert load_images(table, SIDE, cache)[1][:][:, 0, 0].tolist() == [10, 21]


def test_every_size_and_every_folder_has_an_array_of_its_own(tmp_path: Path, cache: Path) -> None:
    one, other = faces_in(tmp_path / "one", 10), faces_in(tmp_path / "other", 20)
    os.utime(tmp_path / "one" / "0.png", ns=(0, 0))
    os.utime(tmp_path / "other" / "0.png", ns=(0, 0))
    assert load_images(one, 4, cache)[1][0][0].tolist() == [10] * 4
    assert load_images(one, 5, cache)[1][0][0].tolist() == [10] * 5
    assert load_images(other, 4, cache)[1][0][0].tolist() == [20] * 4


def test_unreadable_images_stop_with_their_names_and_the_way_out(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", *range(8))
    for i in range(1, 8):
        (tmp_path / "faces" / f"{i}.png").write_bytes(b"torn")
    for _ in range(2):  # decoded, then remembered
        with pytest.raises(DataError) as caught:
            load_images(table, SIDE, cache)
        message = str(caught.value)
        assert message.count("cannot be read as an image") == 5
        assert message.endswith("; and 2 more. Repair them, or leave them out with --on-bad-image skip")
        places = [message.find(repr(str(tmp_path / "faces" / f"{i}.png"))) for i in range(1, 6)]
        assert 0 == places[0] < places[1] < places[2] < places[3] < places[4]  # in their order


def test_unreadable_images_are_left_out_on_request_with_a_note_that_names_them(
    tmp_path: Path, cache: Path
) -> None:
    table = faces_in(tmp_path / "faces", 10, 20, 30, 40)
    for i in (2, 0):
        (tmp_path / "faces" / f"{i}.png").write_bytes(b"torn")
    left, pixels = load_images(table, SIDE, cache, skip_bad=True)
    assert left.paths == ("1.png", "3.png")
    assert left.identities.tolist() == ["1", "3"]
    assert pixels[:][:, 0, 0].tolist() == [20, 40]
    note = Note("unreadable", "2 unreadable images left out: 0.png, 2.png", ("0.png", "2.png"))
    assert left.notes == (note,)


def test_skipping_changes_nothing_where_every_image_can_be_read(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    assert load_images(table, SIDE, cache, skip_bad=True)[0] is table


def test_nothing_but_unreadable_images_is_refused_even_when_skipping(
    tmp_path: Path, cache: Path
) -> None:
    table = faces_in(tmp_path / "faces", 10)
    (tmp_path / "faces" / "0.png").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"^none of the 1 images in '.*faces' can be read$"):
        load_images(table, SIDE, cache, skip_bad=True)


def test_a_mended_image_is_read_again(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    path = tmp_path / "faces" / "0.png"
    whole = path.read_bytes()
    path.write_bytes(b"torn")
    with pytest.raises(DataError):
        load_images(table, SIDE, cache)
    path.write_bytes(whole)
    assert load_images(table, SIDE, cache)[1][0][0, 0] == 10


def test_a_missing_image_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    (tmp_path / "faces" / "0.png").unlink()
    with pytest.raises(DataError, match=r"^cannot read '.*0\.png': No such file or directory$"):
        load_images(table, SIDE, cache)


def test_a_decoding_that_was_interrupted_leaves_nothing_in_the_cache(
    tmp_path: Path, cache: Path
) -> None:
    table = faces_in(tmp_path / "faces", 10, 20, 30)

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_images(table, SIDE, cache, advance=interrupt)
    assert list(cache.iterdir()) == []
    assert load_images(table, SIDE, cache)[1][:][:, 0, 0].tolist() == [10, 20, 30]


_DECODING = """
import sys, time
from pathlib import Path
from fer_mlops.config import DataConfig
from fer_mlops.data.datasets import load_faces
from fer_mlops.data.datasets.base import Request
from fer_mlops.data.image_cache import load_images
cache = Path(sys.argv[2])
table = load_faces(Request(cache=cache, config=DataConfig(source=sys.argv[1])))
def told(_):
    print("some", flush=True)
    time.sleep(60)
load_images(table, 8, cache, advance=told)
"""


def test_kill_9_in_the_middle_leaves_no_half_file_and_is_cleared_away_next_time(
    tmp_path: Path, cache: Path
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for emotion in ("happy", "sad"):
        faces_in(faces / emotion, *range(70))
    command = [sys.executable, "-c", _DECODING, str(faces), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "some\n"
        process.kill()
    (left,) = cache.iterdir()
    assert left.name.startswith(f".unfinished-{platform.node()}-{process.pid}-")
    load_images(faces_in(tmp_path / "other", 10), SIDE, cache)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_processes_that_decode_at_once_end_with_one_whole_file(tmp_path: Path, cache: Path) -> None:
    table = faces_in(tmp_path / "faces", *range(250))

    def decode(_: int) -> list[int]:
        return list(load_images(table, SIDE, cache)[1][:][:, 0, 0].tolist())

    assert at_once(decode) == [[int(Path(path).stem) for path in table.paths]] * 3
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = faces_in(tmp_path / "faces", *range(100))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(DataError, match=r"^cannot write decoded .*: No space left on device; free "):
        load_images(table, SIDE, cache)
    assert list(cache.iterdir()) == []


@pytest.mark.slow
def test_reading_every_face_once_does_not_fill_the_memory(tmp_path: Path) -> None:
    side, num = 48, 150_000
    file = tmp_path / "pixels.npy"
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(num, side, side)).flush()
    code = (
        "import sys, psutil, numpy as np\n"
        "from pathlib import Path\n"
        "from fer_mlops.images.arrays import CachedImages\n"
        "faces = CachedImages.open(Path(sys.argv[1]))\n"
        "before = psutil.Process().memory_info().rss\n"
        "order = np.random.default_rng(0).permutation(len(faces))\n"
        "for rows in np.array_split(order, 300): faces[rows].sum()\n"
        "print((psutil.Process().memory_info().rss - before) / 2**20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 100  # MiB; the file has 330


def test_a_cache_that_cannot_be_written_is_refused_with_the_way_out(tmp_path: Path) -> None:
    table = faces_in(tmp_path / "faces", 10)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    with pytest.raises(DataError) as caught:
        load_images(table, SIDE, in_the_way)
    message = str(caught.value)
    assert message.startswith(f"cannot write decoded faces to {str(in_the_way)!r}: ")
    assert message.endswith("; free space or set FER_MLOPS_CACHE to another folder")


def test_workers_do_not_outlive_a_process_that_was_killed(tmp_path: Path, cache: Path) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for emotion in ("happy", "sad"):
        faces_in(faces / emotion, *range(250), *range(250), *range(200))
    command = [sys.executable, "-c", _DECODING, str(faces), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "some\n"
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
