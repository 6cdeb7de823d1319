"""Registered versions read from MLflow's SQLite file, without the seconds that MLflow takes to import.

Every function returns None where MLflow must be asked instead: the registry is a server or another
database, this process has loaded MLflow already, or the file is not as expected. ``database`` then
checks the file and explains what is wrong with it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from fer_mlops.tracking.model_names import ModelUri

SCHEMA = "dc11669786a5"  # revision of MLflow's tables that the queries below are written for
_PATIENCE = 1  # seconds to wait for a database that another process has locked
# environment variables that choose another registry, or a part of one
_ELSEWHERE = ("MLFLOW_REGISTRY_URI", "MLFLOW_ENABLE_WORKSPACES", "MLFLOW_WORKSPACE")
_VERSIONS = """
    SELECT version, run_id, creation_time AS creation_timestamp, description, status,
        coalesce(nullif(storage_location, ''), source) AS location
    FROM model_versions WHERE name = ? AND current_stage != 'Deleted_Internal'
"""
_TAGS = "SELECT version, key, value FROM model_version_tags WHERE name = ?"
_ALIASES = "SELECT alias, version FROM registered_model_aliases WHERE name = ?"


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """Row of a registered version, with MLflow's names of the fields."""

    version: int
    run_id: str | None
    creation_timestamp: int
    description: str | None
    status: str
    location: str | None
    """Address of the model's files."""
    tags: Mapping[str, str]
    aliases: Mapping[str, int]
    """Version of each alias of the registered model."""


def stored_version(name: str) -> StoredVersion | None:
    """Returns the registered version that a name like ``models:/NAME@ALIAS`` means now."""
    wanted = ModelUri.parse(name)
    for found in read_versions(wanted.model) or () if wanted.is_registered else ():
        number = str(found.version)
        if wanted.version == number or found.aliases.get(wanted.alias) == found.version:
            return found
    return None


def folder_of(name: str) -> Path | None:
    """Returns the folder of a registered version's files on this machine."""
    found = stored_version(name)
    folder = local_path(found.location or "") if found and found.status == "READY" else None
    if folder is None or not folder.is_dir() or any(path.is_symlink() for path in folder.rglob("*")):
        return None  # MLflow copies what a link leads to
    return folder


def read_versions(name: str) -> list[StoredVersion] | None:
    """Returns all versions of a registered model."""
    file = _file_in_use()
    if file is None:
        return None
    uri = f"{file.as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=_PATIENCE)) as connection:
            return _read(connection, file, name)
    except sqlite3.Error:
        return None


def _read(connection: sqlite3.Connection, file: Path, name: str) -> list[StoredVersion] | None:
    connection.row_factory = sqlite3.Row
    ask = connection.execute
    ask("BEGIN")  # all queries see the same state
    schemas = [schema for (schema,) in ask("SELECT version_num FROM alembic_version")]
    locations = [location or "" for (location,) in ask("SELECT artifact_location FROM experiments")]
    others = ask("SELECT 1 FROM model_versions WHERE workspace != 'default'").fetchall()
    if schemas != [SCHEMA] or others or any(new_place(location, file) for location in locations):
        return None
    tags: dict[int, dict[str, str]] = defaultdict(dict)
    for number, key, value in ask(_TAGS, (name,)):
        tags[number][key] = value
    aliases = dict(map(tuple, ask(_ALIASES, (name,))))
    rows = ask(_VERSIONS, (name,))
    return [StoredVersion(**row, tags=tags[row["version"]], aliases=aliases) for row in rows]


def _file_in_use() -> Path | None:
    """Returns the absolute path of the SQLite file that MLflow would use."""
    if "mlflow" in sys.modules or any(os.environ.get(name) for name in _ELSEWHERE):
        return None
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri and any(Path("mlruns").glob("*/meta.yaml")):
        return None  # runs in files, as older versions of MLflow kept them
    before, _, path = (uri or "sqlite:///mlflow.db").partition("sqlite:///")
    # characters that have a meaning in an address are left to MLflow
    return None if before or not path or set(path) & set("?%:#") else Path(path).absolute()


def new_place(location: str, file: Path) -> Path | None:
    """Returns the folder beside a moved or copied database that stands for an experiment's folder.

    ``location`` is the address of the experiment's artifacts in the database.
    """
    # An artifact folder elsewhere is no error by itself: a database may serve many folders. A move is
    # assumed only if a folder of the same name is in mlruns beside the database.
    old = local_path(location)
    new = file.parent / "mlruns" / old.name if old else None
    is_moved = old and new and new.is_dir() and not (old.is_dir() and old.samefile(new))
    return new if is_moved else None


def local_path(uri: str) -> Path | None:
    """Returns the folder of a path or ``file:`` address, or None for any other address."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or not parts.path:
        return None
    return Path(url2pathname(parts.path) if parts.scheme else uri).absolute()
