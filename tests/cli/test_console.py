"""What reaches the terminal: a name from a file or a registry is shown, and never obeyed."""

from __future__ import annotations

import dataclasses
import re
import time
from pathlib import Path

import pytest
from commands import fer
from mlflow import MlflowClient
from quick import bundle, save_blobs
from rich.table import Table
from rich.text import Text

from fer_mlops.cli.main import _end
from fer_mlops.cli.output.screen import console, progress_bars, warn_of_drawn_faces
from fer_mlops.cli.output.versions import print_card, print_versions
from fer_mlops.errors import printable
from fer_mlops.progress import Stage, cached, labelled
from fer_mlops.tracking.version_list import Version

HOSTILE = (
    "\x1b]0;title\x07 \x1b[2Jcleared \x9b31m \x1b]8;;http://evil\x1b\\here \b\b\r[red]hi[/red] \u202egpj"
)
OBEYED = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def version(**change: str) -> Version:
    empty = dict.fromkeys(
        (
            *("family", "data", "split", "valid_macro_f1", "test_macro_f1", "test_n"),
            *("decision", "run_id", "registered", "card"),
        ),
        "",
    )
    return Version(number=1, aliases=(), **{**empty, **change})


def printed() -> str:
    """Returns what a console showed that was recording, without styles."""
    return console.export_text()


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "record", True)
    console.export_text()


def test_a_model_of_drawn_faces_is_said_to_be_one(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = MlflowClient()
    client.create_registered_model("fer-classifier")
    for data in ("sample", "faces"):
        source = (world / data).as_uri()
        client.create_model_version("fer-classifier", source, tags={"data": data})
    said = "this model was trained on drawn faces; its predictions say nothing about real ones"
    warn_of_drawn_faces("models:/fer-classifier/1")
    assert capsys.readouterr().err == f"fer-mlops: {said}\n"
    for name in ("models:/fer-classifier/2", "models:/fer-classifier@champion", "runs:/0123", "folder"):
        warn_of_drawn_faces(name)
    assert capsys.readouterr().err == ""


def test_every_control_character_of_a_text_is_written_out() -> None:
    assert printable("a\x1b[31mb\x9bc\x7f\u202e\r") == r"a\x1b[31mb\x9bc\x7f\u202e\r"
    assert printable("Jürgen\t狗 🙂\nline") == "Jürgen\t狗 🙂\nline"


@pytest.mark.parametrize("wrap", [str, Text], ids=["text", "Text"])
@pytest.mark.parametrize("name", [HOSTILE, "[red]hi[/red]"], ids=["escapes", "markup"])
def test_a_console_shows_a_hostile_name_in_text_and_tables(name: str, wrap: type) -> None:
    table = Table(title=wrap(name))
    table.add_column(wrap(name))
    table.add_row(wrap(name))
    console.print(wrap(name))
    console.print(table, soft_wrap=False)
    shown = printed()
    assert not OBEYED.search(shown)
    assert "[red]hi[/red]" in shown.splitlines()[0]
    assert name == HOSTILE or shown.count(name) == 4


def test_a_progress_bar_shows_a_hostile_name() -> None:
    with progress_bars() as progress:
        progress(HOSTILE, 3)(3)
    assert not OBEYED.search(printed())


def _stages() -> None:
    with progress_bars() as progress:
        progress("reading faces", 980)(980, cached(980))
        advance = labelled(progress, "seed 1")("training", 4)
        advance(2, lambda: "epoch 1/2, loss 0.500, 20 faces/s")
        time.sleep(0.3)  # a bar is drawn four times a second
        progress("evaluation", 0)
        advance(1)  # too late to be shown


_LINES = [
    "reading faces: 980 faces (cached)",
    "seed 1: training: epoch 1/2, loss 0.500, 20 faces/s",
    "evaluation: done",
]


def test_a_finished_stage_is_one_plain_line_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    _stages()
    assert capsys.readouterr().out.splitlines() == _LINES


def test_every_bar_of_a_terminal_ends_as_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "_width", 100)
    monkeypatch.setattr(console, "is_interactive", True)
    monkeypatch.setenv("TERM", "xterm")
    _stages()
    text = capsys.readouterr().out
    frames = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", text)
    assert re.search(r"seed 1: training [ ━╸╺]+ epoch 1/2, loss 0\.500, 20 faces/s 0:00", frames)
    shown = [line.strip() for line in frames.replace("\r", "\n").splitlines()]
    assert [line for line in shown if line in _LINES] == _LINES
    assert shown[shown.index(_LINES[2]) + 1 :] == [""] * (len(shown) - shown.index(_LINES[2]) - 1)


def test_words_of_a_stage_are_asked_for_at_most_ten_times_a_second() -> None:
    asked: list[int] = []
    stage = Stage("training", 1000, lambda: asked.append(len(stage.amount)))
    begun = time.monotonic()
    for _ in range(999):
        stage.advance(1, lambda: "epoch 1/2")
    assert len(asked) <= 2 + 10 * (time.monotonic() - begun)


def test_a_word_between_colons_is_no_picture() -> None:
    console.print("faces:smile: of 3 people")
    assert printed() == "faces:smile: of 3 people\n"


def test_a_registered_version_of_a_stranger_is_shown_and_not_obeyed() -> None:
    fields = ("family", "data", "split", "valid_macro_f1", "test_macro_f1", "test_n", "decision")
    hostile = version(card=f"# {HOSTILE}\n\n{HOSTILE}\n", **dict.fromkeys(fields, HOSTILE))
    print_versions([hostile])
    print_card(hostile)
    assert not OBEYED.search(printed())


def test_a_list_of_versions_rounds_scores_and_says_what_to_do_when_it_is_empty() -> None:
    print_versions([version(valid_macro_f1="0.648600", test_macro_f1="0.801600")])
    assert "0.649" in (shown := printed())
    assert "0.802" in shown
    print_versions([])
    assert "fer-classifier has no version yet; 'fer-mlops cnn" in printed()


def test_a_list_of_versions_wraps_no_alias_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 80)
    fields = {
        "family": "transfer",
        "data": "my-own-faces-of-2026",
        "split": "identity",
        "valid_macro_f1": "0.648600",
        "test_macro_f1": "0.801600",
        "test_n": "1234",
        "registered": "2026-11-28",
    }
    one = dataclasses.replace(version(**fields), number=12, aliases=("challenger", "previous"))
    print_versions([one, dataclasses.replace(one, number=11, aliases=("champion",))])
    shown = printed()
    assert max(map(len, shown.splitlines())) <= 80
    for whole in (
        "challenger ",
        "previous ",
        "transfer",
        "identity",
        "0.649",
        "0.802",
        "1234",
        "2026-11-28",
        "champion ",
    ):
        assert whole in shown
    assert shown.endswith("Next:     fer-mlops registry show 12\n")


def test_a_link_of_a_card_shows_where_it_leads() -> None:
    print_card(version(card="[your bank](https://elsewhere.example)"))
    assert "https://elsewhere.example" in printed()


def test_an_error_that_names_a_hostile_file_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _end(f"cannot read {HOSTILE}", 1)
    assert not OBEYED.search(capsys.readouterr().err)


def test_a_hostile_file_name_is_one_harmless_line_of_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(bundle(tmp_path / "model"))
    save_blobs(Path("faces"), 1)
    name = "a\x1b[2J\nanger 1.00.png"
    Path("faces/000.png").rename(Path("faces") / name)
    (Path("faces") / "b\x1b[2J.png").write_bytes(b"no image")
    status, out, err = fer(capfd, "predict", "faces", "--model", model)
    assert status == 1
    assert out.count("\n") == err.count("\n") == 1
    assert r"faces/a\x1b[2J\nanger 1.00.png" in out
    assert not OBEYED.search(out + err)
    _, out, _ = fer(capfd, "predict", "faces", "--model", model, "--format", "csv")
    assert name in out  # a program that reads it opens the file
