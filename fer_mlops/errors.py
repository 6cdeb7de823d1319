"""Error classes for problems that a user can fix: FerError and its children.

Each message has one or two sentences: the problem, the value, the remedy. The command line prints it
and exits with status 1 (2 for a ConfigError, as for any usage error).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

# control characters other than tab and newline, and those that change the direction of text
_CONTROL = re.compile("[\0-\b\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MOST_NAMES = 1000  # files of a folder that are compared with a mistyped name


def printable(text: str) -> str:
    """Returns ``text`` with its terminal control characters escaped, such as ``\\x1b`` for an escape."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns the known word that is spelt most like ``word``; empty if none is near."""
    return next(iter(get_close_matches(word, list(known), n=1)), "")


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Returns a hint that names the nearest known word; ``otherwise`` if none is near."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else otherwise


def did_you_mean_path(path: Path) -> str:
    """Returns a hint that names the path beside a missing one that is spelt most like it, if any."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    except (OSError, ValueError):
        return ""
    near = nearest(path.name, names)
    return f"did you mean {str(path.with_name(near))!r}?" if near else ""


def no_such(kind: str, path: Path) -> str:
    """Returns the message about a missing path, with the nearest one; ``kind`` is its noun."""
    hint = did_you_mean_path(path)
    return f"no {kind} {str(path)!r}{hint and f'; {hint}'}"


class FerError(Exception):
    """Base class of all problems that a user can fix; the message is written for the user."""


class ConfigError(FerError):
    """A setting, option or recipe is invalid."""


class DataError(FerError):
    """Faces, labels or folders cannot be read or used."""


class WeightsError(FerError):
    """Pretrained weights are unavailable, or do not fit the network."""


class TrainingError(FerError):
    """Training cannot continue."""


class ModelError(FerError):
    """A trained model cannot be found or loaded."""


class TrackingError(FerError):
    """The tracking server or store does not respond."""


def without_extra(extra: str, need: str) -> str:
    """Returns the message about a missing optional package, such as "Spark scoring needs pyspark: …"."""
    return f"{need}: pip install 'fer-mlops[{extra}]'"


@contextmanager
def needs_extra(extra: str, need: str, error: type[FerError] = ConfigError) -> Iterator[None]:
    """Raises ``error`` with the command that installs ``extra`` if an import in the block fails.

    ``need`` is the start of the message, such as "Spark scoring needs pyspark".
    """
    try:
        yield
    except ImportError as missing:
        raise error(without_extra(extra, need)) from missing
