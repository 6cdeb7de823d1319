"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fer_mlops.errors import DataError
from fer_mlops.writing import all_or_none, write_text


def test_a_text_is_written_and_written_over(tmp_path: Path) -> None:
    file = tmp_path / "made" / "text.csv"
    for text in ("one", "zwölf"):
        write_text(file, text)
        assert file.read_text(encoding="utf-8") == text
    assert list(file.parent.iterdir()) == [file]


def test_a_text_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "text.csv"
    file.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"^cannot write '.*text\.csv': No space left on device; "):
        write_text(file, "new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"^cannot write '.*': "):
        write_text(tmp_path / "file" / "text.csv", "new")


def test_files_of_a_folder_appear_together(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "one").write_text("old")
    (tmp_path / "out" / "mine").write_text("stays")
    with all_or_none(tmp_path / "out") as aside:
        for name in ("one", "two"):
            (aside / name).write_text("new")
        assert (tmp_path / "out" / "one").read_text() == "old"
    held = {file.name: file.read_text() for file in (tmp_path / "out").iterdir()}
    assert held == {"one": "new", "two": "new", "mine": "stays"}


@pytest.mark.parametrize("error", [OSError(28, os.strerror(28)), KeyboardInterrupt()])
@pytest.mark.parametrize("was_there", [True, False])
def test_a_folder_that_could_not_be_filled_is_as_it_was(
    tmp_path: Path, error: BaseException, was_there: bool
) -> None:
    out = tmp_path / "out"
    if was_there:
        out.mkdir()
        (out / "one").write_text("old")
    expected = DataError if isinstance(error, OSError) else KeyboardInterrupt

    def fill() -> None:
        with all_or_none(out) as aside:
            (aside / "one").write_text("new")
            raise error

    with pytest.raises(expected):
        fill()
    held = [file.read_text() for file in out.iterdir()] if out.exists() else None
    assert held == (["old"] if was_there else None)


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DataError, match=r"^cannot write to '.*out': Not a directory; "),
        all_or_none(tmp_path / "file" / "out"),
    ):
        pytest.fail("the work was begun")
