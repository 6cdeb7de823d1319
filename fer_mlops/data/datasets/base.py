"""What a data set is to the rest of the house: its name, how to know it, how to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer_mlops.config import DataConfig
from fer_mlops.data.table import FaceTable
from fer_mlops.progress import Progress, no_progress

COMMIT_FILE = "commit.txt"
"""In a folder that was downloaded: the commit of its publisher's repository."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a data set is to be read."""

    cache: Path
    """Where drawn or unpacked faces are kept."""
    config: DataConfig
    is_strict: bool = True
    """Stop at rows that cannot be understood; the doctor reads on, and reports them all."""
    progress: Progress = no_progress
    """Told of a stage that takes long, such as unpacking."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One line of DATASETS."""

    name: str
    load: Callable[[Path, Request], FaceTable]
    """Raises DataError where the path cannot be read."""
    recognises: Callable[[Path], bool]
    """Returns whether a path that exists has this data set's layout; looks at names only."""
    layout: str
    """What the path must be or hold, in a line."""
    where: str
    """Where to get it."""
    terms: str
    """What its publisher allows, in a sentence."""
