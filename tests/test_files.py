"""Files and folders that appear whole or not at all, and locks on them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rivals import at_once

from fer_mlops.errors import DataError
from fer_mlops.files import all_or_none, locked, make_once, whole, write_text


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


def test_a_lock_that_is_held_is_refused_at_once_where_one_does_not_wait(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "file"),
        pytest.raises(BlockingIOError, match="in use by another process"),
        locked(tmp_path / "file", blocking=False),
    ):
        pytest.fail("two have it")
    with locked(tmp_path / "file", blocking=False):
        pass


def test_many_processes_that_wait_for_one_lock_have_it_one_after_the_other(tmp_path: Path) -> None:
    file = tmp_path / "number"
    file.write_text("0")

    def count(_: int) -> None:
        for _ in range(40):
            with locked(file):
                number = int(file.read_text())
                time.sleep(0.001)
                file.write_text(str(number + 1))

    assert at_once(count) == [None] * 3
    assert file.read_text() == "120"


def test_processes_that_make_a_folder_at_once_all_have_one_whole_folder(tmp_path: Path) -> None:
    def make(number: int) -> list[str]:
        def fill(folder: Path) -> None:
            for name in "ab":
                (folder / name).write_text(str(number))
                time.sleep(0.05)

        made = make_once(tmp_path / "made", fill)
        return [(made / name).read_text() for name in "ab"]

    (content, *others) = at_once(make)
    assert content[0] == content[1]
    assert others == [content] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


_WAITING = """
import sys
from pathlib import Path
from fer_mlops.files import locked
print("waits", flush=True)
with locked(Path(sys.argv[1])):
    print("has it", flush=True)
    sys.stdin.read()
"""


def test_a_process_that_comes_while_another_waits_does_not_pass_it(tmp_path: Path) -> None:
    """The lock must stay the same file: the waiter has it open when the first lets go of it."""
    file = tmp_path / "file"
    command = [sys.executable, "-c", _WAITING, str(file)]
    with locked(file):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        waiter = subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload]
        assert waiter.stdout.readline() == "waits\n"
        time.sleep(0.2)
    assert waiter.stdout.readline() == "has it\n"
    with pytest.raises(BlockingIOError), locked(file, blocking=False):
        pytest.fail("two have it")
    waiter.communicate("")


def test_what_killed_processes_left_is_cleared_away_and_what_living_ones_write_is_not(
    tmp_path: Path,
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, used = (
        tmp_path / f".unfinished-{platform.node()}-{pid}-x" for pid in (gone.pid, os.getppid())
    )
    for folder in (left, used):
        folder.mkdir()
    with whole(tmp_path / "file") as aside:
        aside.write_text("new")
    assert (left.exists(), used.exists()) == (False, True)
    assert (tmp_path / "file").read_text() == "new"
