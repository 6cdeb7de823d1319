"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fer_mlops.errors import DataError


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
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # or a power cut leaves the name with nothing behind it
            Path(aside).chmod(0o644)  # mkstemp's is for the owner only
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
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
    try:
        was_there = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder, prefix=".unfinished-"))
        try:
            yield aside
            for file in sorted(aside.iterdir()):
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
            if not was_there and not any(folder.iterdir()):
                folder.rmdir()
    except OSError as error:
        raise DataError(
            f"cannot write to {str(folder)!r}: {error.strerror}; choose another place or free space"
        ) from error
