"""What can go wrong for a user, as a small tree.

FerError
├── ConfigError      a setting, option or recipe that cannot be
├── DataError        faces, labels or folders that cannot be read or used
├── WeightsError     pretrained weights that cannot be had or do not fit
├── TrainingError    a fit that cannot go on
├── ModelError       a trained model that cannot be found or loaded
└── TrackingError    a tracking server or store that does not answer

Each message is one sentence or two: what was wrong, its value, what to do. The command line prints it
and exits with status 1 (2 for a ConfigError, as for any usage mistake).
"""

from __future__ import annotations

import re

_OBEYED = re.compile("[\0-\b\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters other than tab and newline, and those that turn the direction of text."""


def printable(text: str) -> str:
    """Returns ``text`` with what a terminal would obey written out, such as ``\\x1b`` for an escape."""
    return _OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class FerError(Exception):
    """Base of everything a user can mend; its message is meant to be read by one."""


class ConfigError(FerError):
    """A setting, option or recipe has a value it cannot have."""


class DataError(FerError):
    """Faces, labels or folders cannot be read or used."""


class WeightsError(FerError):
    """Pretrained weights cannot be had, or do not fit the network."""


class TrainingError(FerError):
    """A fit cannot go on."""


class ModelError(FerError):
    """A trained model cannot be found or loaded."""


class TrackingError(FerError):
    """The tracking server or store does not answer."""
