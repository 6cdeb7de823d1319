"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
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
            Path(aside).chmod(0o644)  # mkstemp's is for the owner only
            Path(aside).replace(path)
        finally:
            Path(aside).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot write {str(path)!r}: {error.strerror}; choose another place or free space"
        ) from error
