"""fer-mlops score: every row once, whatever is killed, by one machine's cores or by Spark."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import fer
from quick import blobs, bundle, encoded, nonsense, save_blobs

from fer_mlops import load
from fer_mlops.emotions import EMOTIONS
from fer_mlops.errors import ConfigError, DataError
from fer_mlops.serving.batch import job as job_module
from fer_mlops.serving.batch import local, spark
from fer_mlops.serving.batch.job import SCHEMA, Job, opened
from fer_mlops.serving.batch.local import score_locally
from fer_mlops.serving.batch.source import Source, open_source
from fer_mlops.tracking.model_names import SCORE_TAG
from fer_mlops.tracking.registration import register
from fer_mlops.tracking.registry import DIGEST_TAG
from fer_mlops.tracking.runs import track

ROUNDS = 5


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bundle(tmp_path_factory.mktemp("model")))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)  # one process needs no start


def job_of(source: Source, model: str, /, **options: object) -> Job:
    plain = {
        "engine": "local",
        "model": model,
        "model_digest": "",
        "digest": source.digest,
        "num_rows": len(source),
        "rows_per_file": 3,
    }
    return Job(**{**plain, **options})  # type: ignore[arg-type]


def read(folder: str) -> pd.DataFrame:
    return pd.read_parquet(folder).sort_values("row", ignore_index=True)


def check(table: pd.DataFrame, model: str, names: list[str]) -> None:
    """Holds that each name has one row, in order, with the answer that ``load`` gives."""
    assert table["row"].tolist() == list(range(len(names)))
    assert table["image"].tolist() == names
    expected = load(model).predict(blobs(len(names)))
    assert table["emotion"].tolist() == [a.emotion for a in expected]
    assert table["is_sure"].tolist() == [a.is_sure for a in expected]
    np.testing.assert_allclose(table[list(EMOTIONS)], expected.probabilities, atol=1e-6)
    assert table["error"].isna().all()


def test_a_folder_is_scored_row_for_row(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    names = save_blobs(Path("faces"), 8)
    words = ["score", "faces", "--out", "done", "--model", model, "--rows-per-file", "3"]
    status, out, err = fer(capfd, *words)
    assert (status, err) == (0, "")
    assert out.splitlines()[-2] == f"done: 8 rows by {model}; unreadable images: 0"
    assert sorted(p.name for p in Path("done").iterdir()) == [
        "._job.json.lock",
        "_SUCCESS",
        "_job.json",
        *(f"part-00000{n}.parquet" for n in range(3)),
    ]
    assert pq.read_schema("done/part-000000.parquet").equals(SCHEMA)
    check(read("done"), model, names)


def test_tables_of_paths_and_of_images_are_scored_alike(model: str) -> None:
    names = save_blobs(Path("data/faces"), 7)
    listed = [f"faces/{name}" for name in names]
    pd.DataFrame({"Image": listed, "age": 3}).to_csv("data/faces.csv", index=False)
    pd.DataFrame({"image": listed}).to_parquet("data/paths.parquet")
    cells = pa.table({"picture": [encoded(blob) for blob in blobs(7)]})
    pq.write_table(cells, "data/cells.parquet", row_group_size=2)
    for table, column in (
        ("faces.csv", "image"),
        ("paths.parquet", "image"),
        ("cells.parquet", "picture"),
    ):
        source = open_source(Path("data") / table, column)
        score_locally(source, Path(f"done-{table}"), job_of(source, model))
        expected = [f"cells.parquet#{n}" for n in range(7)] if "cells" in table else listed
        check(read(f"done-{table}"), model, expected)


def test_an_unreadable_image_is_a_row_with_an_error(model: str) -> None:
    save_blobs(Path("faces"), 3)
    Path("faces/0015.png").write_bytes(b"no image")
    pd.DataFrame({"image": ["000.png", "0015.png", "nowhere.png", "001.png"]}).to_csv("faces/list.csv")
    source = open_source(Path("faces/list.csv"))
    done = score_locally(source, Path("done"), job_of(source, model))
    assert (done.num_rows, done.num_bad) == (4, 2)
    table = read("done")
    assert table["emotion"].isna().tolist() == [False, True, True, False]
    assert table["happiness"].isna().tolist() == [False, True, True, False]
    assert table["error"][2] == "'faces/nowhere.png' cannot be read as an image: there is no such file"


def test_what_is_there_is_not_scored_again(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = save_blobs(Path("faces"), 8)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    score_locally(source, Path("done"), job)
    kept = Path("done/part-000000.parquet").stat().st_mtime_ns
    Path("done/part-000001.parquet").unlink()
    Path("done/.unfinished-elsewhere-7-x").mkdir()  # a process of another machine was killed
    parts = []
    real = local.score_part
    monkeypatch.setattr(
        local, "score_part", lambda part, *rest: (parts.append(part.first), real(part, *rest))[1]
    )
    done = score_locally(source, Path("done"), job)
    assert (done.num_before, parts) == (5, [3])
    assert Path("done/part-000000.parquet").stat().st_mtime_ns == kept
    assert not list(Path("done").glob(".unfinished*"))
    check(read("done"), model, names)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": "models:/fer-classifier/9"}, "started with model .*, not models:/fer-classifier/9"),
        ({"model_digest": "other"}, "started with model digest"),
        ({"digest": "other"}, "started with digest"),
        ({"rows_per_file": 4}, "started with rows per file 3, not 4"),
        ({"point": "balanced"}, "started with point default, not balanced"),
        ({"threshold": 0.9}, "started with threshold None, not 0.9"),
        ({"engine": "spark"}, "started with engine local, not spark"),
    ],
)
def test_another_job_does_not_go_on_in_the_same_folder(
    change: dict[str, object], says: str, model: str
) -> None:
    save_blobs(Path("faces"), 2)
    source = open_source(Path("faces"))
    score_locally(source, Path("done"), job_of(source, model))
    with pytest.raises(ConfigError, match=says):
        score_locally(source, Path("done"), job_of(source, model, **change))


def test_answers_are_on_the_disk_before_they_have_their_name(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_blobs(Path("faces"), 4)
    source, synced, real = open_source(Path("faces")), set(), os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.add((os.fstat(file).st_ino, os.fstat(file).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    score_locally(source, Path("done"), job_of(source, model))
    files = [Path("done/_job.json"), *Path("done").glob("part-*.parquet")]
    assert len(files) == 3
    assert {(file.stat().st_ino, file.stat().st_size) for file in files} <= synced


def damaged(content: bytes) -> dict[str, bytes]:
    """Returns what a power cut or a full disk may leave of a file."""
    return {"empty": b"", "cut off": content[: len(content) // 2], "zeros": bytes(len(content))}


@pytest.mark.parametrize("how", ["empty", "cut off", "zeros"])
def test_a_damaged_part_is_scored_again(how: str, model: str) -> None:
    names = save_blobs(Path("faces"), 8)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    score_locally(source, Path("done"), job)
    part = Path("done/part-000001.parquet")
    part.write_bytes(damaged(part.read_bytes())[how])
    done = score_locally(source, Path("done"), job)
    assert (done.num_rows, done.num_before) == (8, 5)
    check(read("done"), model, names)


def test_a_part_of_other_rows_is_scored_again(model: str) -> None:
    names = save_blobs(Path("faces"), 8)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    score_locally(source, Path("done"), job)
    shutil.copy("done/part-000002.parquet", "done/part-000000.parquet")
    score_locally(source, Path("done"), job)
    check(read("done"), model, names)


def test_success_is_taken_back_while_a_part_is_missing(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_blobs(Path("faces"), 4)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    score_locally(source, Path("done"), job)
    Path("done/part-000001.parquet").unlink()

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "score_part", killed)
    with pytest.raises(KeyboardInterrupt):
        score_locally(source, Path("done"), job)
    assert not Path("done/_SUCCESS").exists()


def test_damage_that_no_part_explains_is_one_sentence(model: str) -> None:
    save_blobs(Path("faces"), 4)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    score_locally(source, Path("done"), job)
    Path("done/part-again.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"'done' holds a damaged part: .*remove that file"):
        score_locally(source, Path("done"), job)
    Path("done/part-again.parquet").unlink()
    Path("done/_job.json").write_text("[]")
    with pytest.raises(DataError, match=r"'done/_job\.json' is damaged"):
        score_locally(source, Path("done"), job)


def tables_with_gaps(folder: Path) -> dict[str, Source]:
    """Returns tables of four rows of which the first and the last have an image."""
    first, _, _, last = blobs(4)
    save_blobs(folder, 4)
    gaps = ["000.png", None, "", "003.png"]
    cells = pa.table({"image": pa.array([encoded(first), None, b"", encoded(last)], pa.binary())})
    pq.write_table(cells, folder / "cells.parquet")
    pq.write_table(pa.table({"image": cells["image"].cast(pa.large_binary())}), folder / "large.parquet")
    pd.DataFrame({"image": gaps}).to_parquet(folder / "paths.parquet")
    pd.DataFrame({"image": pd.Categorical(gaps)}).to_parquet(folder / "kinds.parquet")
    pd.DataFrame({"image": ["000.png", float("nan"), "a\0b", "003.png"]}).to_parquet(
        folder / "nan.parquet"
    )
    return {path.stem: open_source(path) for path in sorted(folder.glob("*.parquet"))}


@pytest.mark.parametrize("name", ["cells", "large", "paths", "kinds", "nan"])
def test_rows_without_an_image_are_rows_with_an_error(name: str, model: str) -> None:
    source = tables_with_gaps(Path("faces"))[name]
    done = score_locally(source, Path("done"), job_of(source, model))
    assert (done.num_rows, done.num_bad) == (4, 2)
    table = read("done")
    assert table["emotion"].isna().tolist() == [False, True, True, False]
    assert table["error"][1] == "the row has no image"
    assert ("cannot be read" in table["error"][2]) == (name == "nan")


def test_a_source_that_is_damaged_meanwhile_is_one_sentence(model: str) -> None:
    source = tables_with_gaps(Path("faces"))["cells"]
    Path("faces/cells.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"cannot read rows 0 to 2 of 'faces/cells.parquet'"):
        score_locally(source, Path("done"), job_of(source, model))


def test_the_digest_changes_with_the_faces() -> None:
    save_blobs(Path("faces"), 2)
    before = open_source(Path("faces")).digest
    assert open_source(Path("faces")).digest == before
    Path("faces/001.png").write_bytes(b"shorter")
    assert open_source(Path("faces")).digest != before


def test_a_folder_in_use_or_of_others_is_refused(model: str) -> None:
    save_blobs(Path("faces"), 2)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    Path("other").mkdir()
    Path("other/thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="'other' holds other files"):
        score_locally(source, Path("other"), job)
    with opened(Path("done"), job), pytest.raises(DataError, match="another process is scoring into"):
        score_locally(source, Path("done"), job)
    assert score_locally(source, Path("done"), job).num_rows == 2


def begin_together(job: Job, delay: float, barrier: Barrier, won: Queue[tuple[int, str]]) -> None:
    """Opens a new folder in each round, at the same moment as its rival, and writes a little later."""
    real = job_module.write_text
    job_module.write_text = lambda *given: (time.sleep(delay), real(*given))[1]  # type: ignore[assignment]
    for number in range(ROUNDS):
        barrier.wait()
        try:
            with opened(Path(f"out{number}"), job):
                won.put((number, job.model))
                barrier.wait()
        except (ConfigError, DataError):
            barrier.wait()


def test_of_two_jobs_that_begin_at_once_one_is_refused() -> None:
    save_blobs(Path("faces"), 2)
    source = open_source(Path("faces"))
    fork = multiprocessing.get_context("fork")
    barrier, won = fork.Barrier(2), fork.Queue()
    rivals = [
        fork.Process(target=begin_together, args=(job_of(source, name), delay, barrier, won))
        for name, delay in (("one", 0.03), ("two", 0.1))
    ]
    for rival in rivals:
        rival.start()
    winners = [won.get(timeout=60) for _ in range(ROUNDS)]
    for rival in rivals:
        rival.join(60)
        assert rival.exitcode == 0
    assert won.empty()
    assert [number for number, _ in winners] == list(range(ROUNDS))
    for number, name in winners:
        assert json.loads(Path(f"out{number}/_job.json").read_text())["model"] == name


def test_a_folder_that_others_wrote_to_is_not_called_complete(model: str) -> None:
    save_blobs(Path("faces"), 4)
    source = open_source(Path("faces"))
    job = job_of(source, model)
    score_locally(source, Path("done"), job)
    Path("done/_SUCCESS").unlink()
    shutil.copy("done/part-000000.parquet", "done/part-again.parquet")
    with pytest.raises(DataError, match="'done' holds 7 rows instead of 4: another program"):
        score_locally(source, Path("done"), job)
    assert not Path("done/_SUCCESS").exists()


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["nowhere.csv"], 1, "cannot read 'nowhere.csv'"),
        (["empty"], 1, "there is no image in 'empty'"),
        (["list.csv", "--column", "path"], 1, "needs columns path; it has image"),
        (["text.parquet"], 1, "cannot read 'text.parquet' as Parquet"),
        (["numbers.parquet"], 1, "holds int64, neither paths nor bytes"),
        (["numbers.parquet", "--column", "face"], 1, "needs a column 'face'; it has image"),
        (["list.csv", "--rows-per-file", "0"], 2, "rows per file must be 1 or more, got 0"),
        (["list.csv", "--threshold", "-1"], 2, "threshold must be between 0 and 1"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(
    words: list[str], status: int, says: str, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    Path("list.csv").write_text("image\na.png\n")
    Path("text.parquet").write_text("no table")
    pd.DataFrame({"image": [1, 2]}).to_parquet("numbers.parquet")
    ended, _, err = fer(capfd, "score", *words, "--out", "done", "--model", model)
    assert ended == status
    assert says in err
    assert "Traceback" not in err
    assert not list(Path().glob("done/part*"))


def kill_when(process: subprocess.Popen[bytes], out: Path, num_files: int) -> None:
    """Kills with all its might once so many files are there."""
    deadline = time.monotonic() + 400
    while len(list(out.glob("part-*.parquet"))) < num_files:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_task_of_spark_that_fails_is_told_and_not_raised(world: Path, model: str) -> None:
    save_blobs(Path("faces"), 2)
    source = open_source(Path("faces"))
    part, out = source.part(0, 2), Path("done.parquet").absolute()
    score = spark._scorer(mlflow.get_tracking_uri())
    assert score((part, out, job_of(source, model))) == 2
    told = score((part, out, job_of(source, "models:/fer-classifier/9")))
    assert isinstance(told, str)
    assert "models:/fer-classifier/9" in told


@pytest.mark.long
@pytest.mark.timeout(900)
def test_after_kill_9_no_row_is_lost_or_repeated(model: str) -> None:
    names = save_blobs(Path("faces"), 400)
    words = ["score", "faces", "--out", "done", "--model", model, "--rows-per-file", "4"]
    command = [sys.executable, "-m", "fer_mlops", *words]
    kill_when(subprocess.Popen(command, stdout=subprocess.DEVNULL), Path("done"), 10)
    assert not Path("done/_SUCCESS").exists()
    finished = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert 10 * 4 <= json.loads(finished.stdout)["num_before"] < 400
    check(read("done"), model, names)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_spark_answers_as_all_cores_do_and_goes_on_after_a_kill(world: Path) -> None:
    with track("models", "one", system_metrics=False) as tracker:
        model_id = tracker.log_classifier(nonsense(), [encoded(blobs(1)[0])], {})
    register(model_id, {SCORE_TAG: "0.5", DIGEST_TAG: "none"})
    names = save_blobs(Path("faces"), 30)
    Path("faces/bad.png").write_bytes(b"no image")
    source = open_source(Path("faces"))
    job = job_of(source, "models:/fer-classifier/1", rows_per_file=10)
    score_locally(source, Path("local"), job)
    words = ["score", "faces", "--rows-per-file", "10", "--out", "spark", "--engine", "spark"]
    command = [sys.executable, "-m", "fer_mlops", *words]
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    kill_when(process, Path("spark"), 1)
    assert not Path("spark/_SUCCESS").exists()
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "by an earlier call" in done.stdout
    ours, theirs = read("local"), read("spark")
    assert theirs["row"].tolist() == list(range(31))
    assert theirs["image"].tolist() == [*names, "bad.png"]
    pd.testing.assert_frame_equal(
        ours.drop(columns="error"), theirs.drop(columns="error"), rtol=0, atol=1e-5
    )
    assert theirs["error"].notna().tolist() == [False] * 30 + [True]
    assert json.loads(Path("spark/_job.json").read_text())["model"] == "models:/fer-classifier/1"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_spark_scores_a_parquet_of_images_and_gaps_as_all_cores_do(model: str) -> None:
    images = [encoded(blob) for blob in blobs(9)]
    cells = [*images[:3], None, b"", b"no image", *images[3:]]
    pq.write_table(pa.table({"face": pa.array(cells, pa.binary())}), "faces.parquet", row_group_size=4)
    source = open_source(Path("faces.parquet"), "face")
    score_locally(source, Path("local"), job_of(source, model, point="balanced", threshold=0.3))
    command = [sys.executable, "-m", "fer_mlops", "score", "faces.parquet", "--column", "face"]
    options = ["--out", "spark", "--rows-per-file", "3", "--model", model, "--balanced"]
    done = subprocess.run(
        [*command, *options, "--threshold", "0.3", "--engine", "spark"],
        capture_output=True,
        text=True,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr
    assert "12 rows" in done.stdout
    assert "unreadable images: 3" in done.stdout
    pd.testing.assert_frame_equal(read("local"), read("spark"), rtol=0, atol=1e-6)
    assert Path("spark/_SUCCESS").exists()


def test_files_of_a_folder_that_are_not_read_are_counted(
    model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    save_blobs(Path("faces"), 1)
    Path("faces/a.heic").touch()
    _, out, _ = fer(capfd, "score", "faces", "--model", model, "--out", "out")
    unread = "1 file is not read, not an image in a known format: 1 .heic"
    assert out.splitlines()[-2].endswith(f"unreadable images: 0; {unread}")


def test_a_folder_of_parquet_parts_is_no_folder_of_images() -> None:
    Path("parts").mkdir()
    Path("parts/_SUCCESS").touch()
    for number in range(2):
        Path(f"parts/part-{number}.snappy.parquet").touch()
    with pytest.raises(DataError, match=r"holds 2 Parquet files, as Spark writes a table; score each"):
        open_source(Path("parts"))
