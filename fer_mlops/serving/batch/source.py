"""Sources of batch scoring: a folder of images, or a table of paths or encoded images."""

from __future__ import annotations

import dataclasses
import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fer_mlops.data.csv_reader import read_csv
from fer_mlops.data.datasets.folder import find_files, unread
from fer_mlops.errors import DataError
from fer_mlops.serving.image_inputs import shown

COLUMN = "image"


@dataclass(frozen=True)
class Item:
    """Image to score."""

    name: str
    content: bytes | Path


@dataclass(frozen=True)
class FilePart:
    """Consecutive rows as paths, cheap to send to another process."""

    first: int
    """Number of the first row in the source."""
    names: tuple[str, ...]
    root: Path

    def items(self) -> list[Item]:
        return [Item(shown(name), self.root / name if name else b"") for name in self.names]


@dataclass(frozen=True)
class FileSource:
    """Image files of a folder or a table of paths."""

    name: str
    root: Path
    """Folder that the names are relative to."""
    names: tuple[str, ...]
    digest: str
    """Digest of the names and sizes."""
    unread: str = ""
    """Number of skipped files of the folder, with the reason."""

    def __len__(self) -> int:
        return len(self.names)

    def part(self, first: int, stop: int) -> FilePart:
        return FilePart(first, self.names[first:stop], self.root)


@dataclass(frozen=True)
class CellPart:
    """Consecutive rows of a Parquet file, read by the process that scores them."""

    first: int
    """Number of the first row in the source."""
    stop: int
    path: Path
    column: str
    starts: tuple[int, ...]

    def items(self) -> list[Item]:
        """Returns the images; reads only the row groups that hold them.

        Raises:
            DataError: The row groups cannot be read.
        """
        group = bisect_right(self.starts, self.first) - 1
        last = bisect_right(self.starts, self.stop - 1) - 1
        try:
            with pq.ParquetFile(self.path) as file:
                cells = file.read_row_groups(range(group, last + 1), columns=[self.column])[self.column]
        except (OSError, pa.ArrowException) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"cannot read rows {self.first} to {self.stop - 1} of {str(self.path)!r}: {reason}"
            ) from error
        wanted = cells.slice(self.first - self.starts[group], self.stop - self.first)
        return [
            Item(f"{self.path.name}#{self.first + number}", cell or b"")
            for number, cell in enumerate(wanted.to_pylist())
        ]


@dataclass(frozen=True)
class CellSource:
    """Encoded images in a binary column of a Parquet file."""

    name: str
    path: Path
    column: str
    starts: tuple[int, ...] = field(repr=False)
    """First row of each row group, and the number of rows at the end."""
    digest: str
    """Digest of the file's name, size and row groups."""
    unread: str = ""
    """Always empty: no row of a table is skipped."""

    def __len__(self) -> int:
        return self.starts[-1]

    def part(self, first: int, stop: int) -> CellPart:
        return CellPart(first, stop, self.path, self.column, self.starts[:-1])


Part = FilePart | CellPart
Source = FileSource | CellSource


def open_source(path: Path, column: str = COLUMN) -> Source:
    """Returns the images at ``path``.

    Args:
        path: Folder of images; csv with a column of paths relative to its folder; or Parquet file with
            a column of such paths or of encoded images.
        column: Name of that column.

    Raises:
        DataError: The source cannot be read, has no such column, or has no row.
    """
    source: Source
    if path.is_dir():
        images, others = find_files(path)
        parts = [name for name in others if name.lower().endswith(".parquet")]
        if parts and not images:
            raise DataError(
                f"{str(path)!r} holds {len(parts)} Parquet files, as Spark writes a table; score each "
                f"file into its own folder, first {str(path / parts[0])!r}"
            )
        source = dataclasses.replace(_files(path, path, images), unread=unread(others))
    elif path.suffix.lower() == ".parquet":
        source = _parquet(path, column)
    else:
        source = _files(
            path, path.parent, (row[column.lower()] for row in read_csv(path, [column.lower()]))
        )
    if not len(source):
        raise DataError(f"there is no image in {str(path)!r}{source.unread}")
    return source


def _files(path: Path, root: Path, names: Iterable[str]) -> FileSource:
    listed = tuple(names)
    state = hashlib.sha256()
    for name in listed:
        try:
            size = (root / name).stat().st_size
        except (OSError, ValueError):  # missing file or invalid name: reported in its row
            size = -1
        state.update(f"{name}\0{size}\n".encode(errors="surrogateescape"))
    return FileSource(str(path), root, listed, state.hexdigest())


def _parquet(path: Path, column: str) -> Source:
    try:
        with pq.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                found = ", ".join(file.schema_arrow.names)
                raise DataError(f"{str(path)!r} needs a column {column!r}; it has {found}")
            kind = file.schema_arrow.field(column).type
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            if not _is_binary(kind):
                names = file.read([column])[column].to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read {str(path)!r} as Parquet: {str(error).splitlines()[0]}") from error
    if not _is_binary(kind):
        if not _is_text(kind.value_type if pa.types.is_dictionary(kind) else kind):
            raise DataError(f"column {column!r} of {str(path)!r} holds {kind}, neither paths nor bytes")
        return _files(path, path.parent, (name or "" for name in names))
    starts = [0]
    for num in groups:
        starts.append(starts[-1] + num)
    state = hashlib.sha256(f"{path.name}\0{path.stat().st_size}\0{starts}".encode())
    return CellSource(str(path), path, column, tuple(starts), state.hexdigest())


def _is_binary(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _is_text(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))
