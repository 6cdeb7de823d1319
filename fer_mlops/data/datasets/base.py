"""Data set interface: name, layout detection and loader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fer_mlops.data.table import FaceTable
from fer_mlops.progress import Progress, no_progress

if TYPE_CHECKING:
    from fer_mlops.config import DataConfig  # loads pydantic, which listing the data sets does not need

COMMIT_FILE = "commit.txt"
"""File in a downloaded folder that holds the commit of the publisher's repository."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Options for reading a data set."""

    cache: Path
    """Folder for drawn or unpacked faces."""
    config: DataConfig
    is_strict: bool = True
    """Stop at rows that cannot be understood; the data check sets False, to report all of them."""
    progress: Progress = no_progress
    """Called at the start of each long stage, such as unpacking."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Entry of DATASETS."""

    name: str
    load: Callable[[Path, Request], FaceTable]
    """Returns the faces at a path; raises DataError if it cannot be read."""
    recognises: Callable[[Path], bool]
    """Returns whether an existing path has this data set's layout; reads names only."""
    layout: str
    """Description of the required layout, in one line."""
    where: str
    """Place to get the data set from."""
    terms: str
    """Uses that the publisher allows, in a sentence."""

    def as_dict(self) -> dict[str, str]:
        """Returns name, layout, source and terms, for JSON."""
        return {"name": self.name, "layout": self.layout, "where": self.where, "terms": self.terms}
