"""Csv and label list reader: yields lines with their numbers, for better messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from fer_mlops.errors import DataError


class Line(dict[str, str]):
    """One row by column name; every value is text without outer blanks."""

    def __init__(self, number: int, values: dict[str, str]) -> None:
        super().__init__(values)
        self.number = number
        """Line number as shown by an editor, from 1."""


def read_csv(path: Path, needed: Sequence[str]) -> Iterator[Line]:
    """Yields the rows of the csv at ``path``; column names are matched without regard to case.

    Missing cells are empty text. The header determines the delimiter: comma, semicolon or tab.

    Raises:
        DataError: The file cannot be read, is not UTF-8 text, or lacks one of the ``needed`` columns.
    """
    try:
        # Excel begins a file with a byte order mark, and separates by semicolons where the comma is the
        # decimal sign
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            titles = next(csv.reader([header], delimiter=delimiter), [])
            names = [title.strip().lower() for title in titles]
            if not set(needed) <= set(names):
                found = ", ".join(names) or "none"
                raise DataError(f"{str(path)!r} needs columns {', '.join(needed)}; it has {found}")
            reader = csv.reader(file, delimiter=delimiter)
            for values in reader:
                if values:  # an editor may leave empty lines
                    padded = [*values, *[""] * (len(names) - len(values))]
                    cells = {n: v.strip() for n, v in zip(names, padded, strict=False)}
                    yield Line(reader.line_num + 1, cells)  # the header was read before
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error


def read_words(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the number and the blank-separated words of each non-empty line at ``path``."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if words:
                    yield number, words
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"cannot read {str(path)!r}: it is not UTF-8 text; save it as UTF-8")
    return DataError(f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}")
