"""Files and folders that appear whole or not at all, and locks on them."""

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
"""Begins the name of a folder in which a process writes; its machine and its id follow."""


def cache_folder() -> Path:
    """Returns the folder for decoded faces, the drawn sample and checkpoints.

    ``FER_MLOPS_CACHE`` if set, else the user's cache folder, such as ``~/.cache/fer_mlops`` on Linux.
    """
    if chosen := os.environ.get("FER_MLOPS_CACHE"):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path  # not needed to load a model

    return user_cache_path("fer_mlops", appauthor=False)


@contextmanager
def locked(path: Path, *, waits: bool = True) -> Iterator[None]:
    """Holds the lock on ``path`` against other processes until the block, or this process, ends.

    The lock is a hidden file beside ``path``. It stays: a process that waits for a file that is removed
    would hold another lock than one that comes later.

    Raises:
        BlockingIOError: Another process holds it, and this one does not wait.
        OSError: The folder cannot be written.
    """
    from filelock import FileLock, Timeout  # loading a model needs neither this nor psutil

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=-1 if waits else 0)
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
    """Yields an empty folder in ``parent``, gone after the block; what a killed process left goes too.

    Raises:
        OSError: ``parent`` cannot be written.
    """
    import psutil

    parent.mkdir(parents=True, exist_ok=True)
    ours = f"{UNFINISHED}{platform.node()}-"
    for left in parent.glob(f"{ours}*"):
        owner = left.name.removeprefix(ours).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(dir=parent, prefix=f"{ours}{os.getpid()}-"))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def put(file: Path, path: Path) -> None:
    """Moves a whole file of the same disk to ``path``, in place of what was there.

    Raises:
        OSError: It cannot be moved.
    """
    with file.open("rb+") as written:
        os.fsync(written.fileno())  # or a power cut leaves the new name with nothing behind it
    file.replace(path)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields where to write a file that is moved to ``path`` when the block ends well.

    Raises:
        OSError: The folder cannot be written, or the disk is full.
    """
    with folder_aside(path.parent) as aside:
        yield aside / path.name
        put(aside / path.name, path)


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` to ``path`` as ``write_bytes`` does.

    Raises:
        DataError: The file cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path``, in whose place any older file stays until the new one is whole.

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
    """Yields an empty folder; what was written there is moved to ``folder`` at the end, in one go.

    Files of the same names are replaced. If anything is raised, ``folder`` stays as it was.

    Raises:
        DataError: The folder cannot be written, which is tried at once, or the disk is full.
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
    """Returns ``folder``, which ``fill`` filled now or in an earlier call.

    ``fill`` writes to an empty folder beside it, renamed at the end: an interruption leaves nothing,
    and of two processes the second keeps what the first made.

    Raises:
        DataError: The folder cannot be written, or ``fill`` raised it.
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
                if not folder.is_dir():  # else another process was first
                    raise
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {str(folder)!r}: {reason}; {remedy}") from error
    return folder
