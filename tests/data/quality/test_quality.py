"""The examination as a whole, and the command that runs it."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from crowds import crowd, images, kinds, the
from PIL import Image
from tiny import run, tiny

from fer_mlops.cli import main
from fer_mlops.config import DataConfig
from fer_mlops.data.quality.findings import (
    SEVERITIES,
    Example,
    Finding,
    Listing,
    findings_as_json,
    is_at_least,
)
from fer_mlops.data.quality.report import check_before_training, check_data, check_metadata
from fer_mlops.data.splits import split_faces
from fer_mlops.data.table import FaceTable, Note, listed
from fer_mlops.metrics.identities import count

CONFIG = DataConfig()


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> FaceTable:
    """Faces in which there is nothing to find: enough of each emotion, each of a person of its own."""
    return crowd(tmp_path_factory.mktemp("healthy"), 152, are_strangers=True)


def test_nothing_is_found_in_healthy_data(healthy: FaceTable, tmp_path: Path) -> None:
    examination = check_data(healthy, CONFIG, 0, tmp_path)
    assert kinds(examination) == []
    assert examination.num_faces == examination.num_people == 1064
    assert "too good" not in examination.verdict
    assert examination.verdict.startswith("Scores on the ")
    titles = [listing.title for listing in examination.listings]
    assert titles == [
        "Faces of each emotion",
        "Test faces known from train",
        "Shortcuts to the emotion",
        "Given and estimated labels",
    ]


def test_nothing_is_found_quickly_in_healthy_data(healthy: FaceTable) -> None:
    assert kinds(check_metadata(healthy, CONFIG, 0)) == []
    assert check_before_training(healthy, split_faces(healthy, CONFIG, 0), CONFIG) == ()


def test_the_same_seed_finds_the_same(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12, each=2)
    first = check_data(table, CONFIG, 4, tmp_path / "cache")
    again = check_data(table, CONFIG, 4, tmp_path / "cache")
    assert first == again


def test_every_file_is_told_in_every_stage(tmp_path: Path) -> None:
    done: dict[str, int] = {}

    def progress(stage: str, total: int):  # type: ignore[no-untyped-def]
        done[stage] = -total

        def advance(number: int, _: object = None) -> None:
            done[stage] += number

        return advance

    check_data(crowd(tmp_path, 12), CONFIG, 0, tmp_path / "cache", progress=progress)
    assert done["reading files"] == 0
    assert set(done.values()) == {0}


def test_findings_come_worst_first(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    table = table.select(list(range(84)), Note("repeated-rows", "2 repeated rows", ("a", "b")))
    (tmp_path / table.paths[0]).write_bytes(b"torn")
    severities = [f.severity for f in check_data(table, CONFIG, 0, tmp_path / "cache").findings]
    assert severities == sorted(severities, key=SEVERITIES.index)
    assert set(severities) == set(SEVERITIES)


def test_files_that_cannot_be_read_are_kept_out_of_the_rest(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    (tmp_path / table.paths[0]).write_bytes(b"torn")
    examination = check_data(table, CONFIG, 0, tmp_path / "cache")
    assert examination.num_faces == 83
    assert the(examination, "unreadable").num == 1
    assert examination.verdict.startswith("Training stops on this data")


def test_a_file_that_vanished_is_reported_and_the_rest_examined(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12)
    (tmp_path / table.paths[3]).unlink()
    examination = check_data(table, CONFIG, 0, tmp_path / "cache")
    assert examination.num_faces == 83
    assert images(the(examination, "unreadable")) == [table.paths[3]]


def test_data_of_which_nothing_can_be_read_is_no_crash(tmp_path: Path) -> None:
    table = crowd(tmp_path, 3)
    for path in table.paths:
        (tmp_path / path).write_bytes(b"torn")
    assert the(check_data(table, CONFIG, 0, tmp_path / "cache"), "unreadable").num == 21


@pytest.mark.parametrize("rows", [[0], [0, 1], [0, 7, 14], list(range(12))])
def test_a_handful_of_faces_is_no_crash(rows: list[int], tmp_path: Path) -> None:
    table = crowd(tmp_path, 3).select(rows)
    assert the(check_data(table, CONFIG, 0, tmp_path / "cache"), "no-split").severity == "error"


def test_the_fast_form_reads_no_file(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12, each=2)
    table = table.select(list(range(168)), Note("no-label", "1 file without a label", ("x",)))
    split = split_faces(table, DataConfig(split="random"), 0)
    clusters = np.arange(168)
    clusters[1] = 0
    for path in table.paths:
        (tmp_path / path).unlink()
    found = check_before_training(table, split, DataConfig(split="random"), clusters)
    assert kinds(found) == ["near-duplicates", "known-people", "few-faces", "no-label"]
    assert kinds(check_metadata(table, CONFIG, 0)) == ["few-faces", "known-people", "no-label"]


def test_json_holds_everything(tmp_path: Path) -> None:
    table = crowd(tmp_path, 12, each=2)
    examination = check_data(table, CONFIG, 0, tmp_path / "cache")
    values = json.loads(examination.as_json())
    assert values["num_faces"] == 168
    assert values["counts"]["fear"] == 24
    findings = [
        Finding(**{**f, "examples": tuple(Example(**e) for e in f["examples"])})
        for f in values["findings"]
    ]
    assert tuple(findings) == examination.findings
    assert len(values["listings"]) == len(examination.listings)
    assert Listing(**values["listings"][0]).title == examination.listings[0].title
    assert json.loads(findings_as_json(examination.findings)) == values["findings"]


def test_severities_are_ordered() -> None:
    assert [s for s in SEVERITIES if is_at_least(s, "warning")] == ["error", "warning"]
    assert [s for s in SEVERITIES if is_at_least(s, "note")] == ["error", "warning", "note"]
    assert [s for s in SEVERITIES if is_at_least(s, "error")] == ["error"]


def test_numbers_and_names_read_well() -> None:
    assert [count(1, "image"), count(1204, "image")] == ["1 image", "1,204 images"]
    assert count(2, "person", "people") == "2 people"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def fer(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Returns exit status, output and errors of ``fer-mlops data check``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fer-mlops", "data", "check", *words])
        patch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.mark.parametrize(("fail_on", "status"), [("note", 1), ("warning", 1), ("error", 0)])
def test_the_exit_status_says_how_bad_it_is(
    fail_on: str, status: int, world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = fer(capfd, str(faces_folder), "--fast", "--fail-on", fail_on)
    assert code == status
    assert "0 errors, 1 warning, 1 note" in " ".join(out.split())


def test_the_command_writes_page_json_and_csv(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, err = fer(
        capfd, str(faces_folder), "--out", "a/page.html", "--json", "a.json", "--label-errors", "a.csv"
    )
    assert code == 0, err
    assert (world / "a" / "page.html").read_text().startswith("<!doctype html>")
    assert json.loads((world / "a.json").read_text())["name"] == faces_folder.name
    header = (world / "a.csv").read_text().splitlines()[0]
    assert header == "image,emotion,given,suggested,probability_given,probability_suggested"
    assert [line for line in out.splitlines() if line.startswith("written to")] == [
        "written to a/page.html",
        "written to a.json",
        "written to a.csv",
    ]
    without_folder = out.replace(str(faces_folder), "faces")  # a path is as long as it is
    assert max(map(len, without_folder.splitlines())) <= 80


def test_a_trained_model_can_doubt_labels(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained = run(tiny("baseline", faces_folder))
    capfd.readouterr()
    model = f"runs:/{trained.run_id}"
    code, _, err = fer(capfd, str(faces_folder), "--model", model, "--json", "a.json")
    assert code == 0, err
    listing = json.loads((world / "a.json").read_text())["listings"][-1]
    assert listing["about"].startswith("Estimated by the given model")


def test_a_page_that_cannot_be_written_is_one_sentence(
    world: Path, faces_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (world / "file").touch()
    code, _, err = fer(capfd, str(faces_folder), "--fast", "--out", "file/page.html")
    assert code == 1
    assert "cannot write 'file/page.html'" in err


def test_options_that_would_do_nothing_are_refused(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for option in ("--label-errors", "--model"):
        code, _, err = fer(capfd, "sample", "--fast", option, "x")
        assert code == 2
        assert "--fast finds no label errors" in err


def test_file_names_are_printed_as_they_are(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for emotion in ("happiness", "sadness"):
        (world / "odd" / emotion).mkdir(parents=True)
        for number in range(12):
            Image.new("L", (64, 64), 5 * number).save(world / "odd" / emotion / f"p{number}x.png")
    (world / "odd" / "sadness" / "[red]p3x.png").write_bytes(b"no image")
    code, out, _ = fer(capfd, "odd")
    assert code == 1
    assert "sadness/[red]p3x.png" in out
    assert "1 image cannot be read" in out


def test_faults_of_rows_are_all_reported_and_not_only_the_first(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.effect_noise((64, 64), 50).convert("L").save(world / "a.png")
    (world / "list.csv").write_text("image,emotion\na.png,happy\nb.png,hapy\na.png,hapy\n../x.png,sad\n")
    code, _, _ = fer(capfd, "list.csv", "--json", "a.json")
    assert code == 1
    found = {f["kind"]: f for f in json.loads((world / "a.json").read_text())["findings"]}
    assert {kind for kind, f in found.items() if f["severity"] == "error"} == {
        "unknown-emotion",
        "missing-file",
        "escaping-path",
        "no-split",
    }
    assert "did you mean 'happy'?" in found["unknown-emotion"]["what"]


def test_an_examination_can_be_compared(healthy: FaceTable) -> None:
    one = check_metadata(healthy, CONFIG, 0)
    assert one == check_metadata(healthy, CONFIG, 0)
    assert one != dataclasses.replace(one, seed=1)
    assert images(
        Finding(
            kind="x",
            severity="note",
            what="",
            consequence="",
            remedy="",
            num=1,
            examples=(Example("a"),),
        )
    ) == ["a"]
