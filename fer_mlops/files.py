"""Atomic writes of files and folders, file locks, and the folders of cache and recipes."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_mlops.errors import DataError

_REMEDY = "free space or set FER_MLOPS_CACHE to another folder"
UNFINISHED = ".unfinished-"
"""Prefix of a process's temporary folder; the machine's name and the process id follow."""


def cache_folder() -> Path:
    """Returns the folder for decoded faces, the generated sample data set and checkpoints.

    ``FER_MLOPS_CACHE`` if set, else the user's cache folder, such as ``~/.cache/fer_mlops`` on Linux.
    """
    if chosen := os.environ.get("FER_MLOPS_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path  # not needed to load a model

    return user_cache_path("fer_mlops", appauthor=False)


@contextmanager
def locked(path: Path, *, blocking: bool = True) -> Iterator[None]:
    """Holds an exclusive lock on a file or folder until the block, or this process, ends.

    Raises:
        BlockingIOError: Another process holds the lock, and ``blocking`` is False.
        OSError: The folder cannot be written.
    """
    from filelock import FileLock, Timeout  # loading a model needs neither filelock nor psutil

    path.parent.mkdir(parents=True, exist_ok=True)
    # never removed: a process that waits on a removed file would hold another lock than a later process
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=-1 if blocking else 0)
    try:
        lock.acquire()
    except Timeout as error:
        raise BlockingIOError(f"{str(path)!r} is in use by another process") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def folder_aside(parent: Path) -> Iterator[Path]:
    """Yields an empty temporary folder in ``parent`` and removes it after the block.

    Removes the temporary folders of killed processes of this machine first. Raises OSError if
    ``parent`` cannot be written.
    """
    import psutil

    parent.mkdir(parents=True, exist_ok=True)
    ours = f"{UNFINISHED}{platform.node()}-"
    for folder in parent.glob(f"{ours}*"):
        owner = folder.name.removeprefix(ours).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)
    # inside parent: a rename is atomic only on one disk
    aside = Path(tempfile.mkdtemp(dir=parent, prefix=f"{ours}{os.getpid()}-"))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def put(file: Path, path: Path) -> None:
    """Moves a finished file to ``path`` on the same disk and replaces any older file there."""
    with file.open("rb+") as written:
        os.fsync(written.fileno())  # without it, a power cut can leave an empty file at the new name
    file.replace(path)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; the file is moved to ``path`` if the block succeeds.

    Raises OSError if the folder cannot be written or the disk is full.
    """
    with folder_aside(path.parent) as aside:
        yield aside / path.name
        put(aside / path.name, path)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` in UTF-8, as ``write_bytes`` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path`` atomically: an older file stays until the new one is complete.

    Raises:
        DataError: The file cannot be written.
    """
    try:
        with whole(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise DataError(
            f"cannot write {str(path)!r}: {error.strerror}; choose another place or free space"
        ) from error


@contextmanager
def all_or_none(folder: Path) -> Iterator[Path]:
    """Yields an empty folder and moves the files written there to ``folder`` at the end.

    Files of the same names are replaced. If the block raises an error, ``folder`` is unchanged.

    Raises:
        DataError: The folder cannot be written (checked before the block), or the disk is full.
    """
    was_there = folder.is_dir()
    try:
        try:
            with folder_aside(folder) as aside:
                yield aside
                for file in sorted(aside.iterdir()):
                    put(file, folder / file.name)
        finally:
            if not was_there and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise DataError(
            f"cannot write to {str(folder)!r}: {error.strerror}; choose another place or free space"
        ) from error


def make_once(folder: Path, fill: Callable[[Path], None], remedy: str = _REMEDY) -> Path:
    """Returns ``folder``; if it does not exist, ``fill`` makes its content first.

    ``fill`` is called with an empty folder beside it, which is renamed at the end: an interruption
    leaves nothing, and if two processes fill at once, the second uses the first one's folder.

    Raises:
        DataError: The folder cannot be written; the message ends with ``remedy``.
    """
    if folder.is_dir():
        return folder
    try:
        with folder_aside(folder.parent) as aside:
            made = aside / folder.name
            made.mkdir()
            fill(made)
            try:
                made.rename(folder)
            except OSError:
                if not folder.is_dir():  # otherwise another process made it first
                    raise
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {str(folder)!r}: {reason}; {remedy}") from error
    return folder


def recipes_folder() -> Path:
    """Returns the folder of the project's recipes, in the installed package or the checkout."""
    package = Path(__file__).parent
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parent / "experiments"


def presets(family: str) -> list[str]:
    """Returns the names of the family's presets, in alphabetical order."""
    found = recipes_folder().glob(f"{family}-*.yaml")
    return sorted(path.stem.removeprefix(f"{family}-") for path in found)
