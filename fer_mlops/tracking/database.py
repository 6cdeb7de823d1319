"""Tracking database used without a server: checks before use, and relocation after a move."""

from __future__ import annotations

import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
from mlflow.exceptions import MlflowException
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fer_mlops.errors import TrackingError
from fer_mlops.files import locked
from fer_mlops.tracking.connection import client, is_remote, reason_of, shown_uri, without_password
from fer_mlops.tracking.sqlite_registry import local_path, new_place

KINDS = ("sqlite", "postgresql", "mysql", "mssql")
_PATIENCE = 1  # seconds to wait for a database that another process has locked, or for a database server
_TRIES = 3
ELSEWHERE = "change to another folder or set MLFLOW_TRACKING_URI"
# remedy by a word in the database's error message
_REMEDIES = {
    "locked": "another process has locked it; end that process, then try again",
    "not a database": "put a backup in its place, or move it away to begin a new one",
    "malformed": "put a backup in its place, or move it away to begin a new one",
    "full": "free space",
    "unable to open": ELSEWHERE,
    "readonly": ELSEWHERE,
}
# table and column of every folder address in MLflow's database
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)


def check_database(uri: str, *, is_written: bool) -> None:
    """Checks that MLflow can use the database; creates a missing file if it ``is_written``.

    Raises:
        TrackingError: The database cannot be used; the message says what to do.
    """
    url = make_url(uri)
    file = file_of(url)
    if file and not file.exists():
        if not is_written:
            raise TrackingError(
                f"there are no runs or models here: {str(file)!r} does not exist; train a model, for "
                "example with 'fer-mlops cnn --preset fast', or change to the folder of your runs"
            )
        _check_folder(file)
    try:
        look_into(url, is_written=is_written)
    except TrackingError:
        with ExitStack() as lock:
            if file:  # wait for another process that may be creating it
                with suppress(OSError):  # in a read-only folder no process can create it
                    lock.enter_context(locked(file))
            try:
                look_into(url, is_written=is_written)
            except _EmptyError:
                _make(url)


class _EmptyError(TrackingError):
    """The database has no tables yet."""


def look_into(url: URL, *, is_written: bool) -> None:
    """Raises TrackingError if MLflow cannot use the database in its present state."""
    with _connected(url) as connection:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if not tables:
            raise _EmptyError
        if "experiments" not in tables:
            raise TrackingError(
                f"{_shown(url)} holds other tables than MLflow's ({', '.join(sorted(tables)[:3])}); "
                "set MLFLOW_TRACKING_URI to another database"
            )
        _check_version(connection, url)
        if is_written and url.get_backend_name() == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails if the database is read-only
            connection.rollback()
        for move in _moved(connection, url):
            raise TrackingError(
                f"{_shown(url)} was moved or copied: it refers to the folder {str(move.old)!r}, but is "
                f"beside {str(move.new)!r}; 'fer-mlops registry relocate' updates it"
            )


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    """Yields a connection; turns database errors into a TrackingError."""
    is_file = url.get_backend_name() == "sqlite"
    waits: dict[str, Any] = {"timeout" if is_file else "connect_timeout": _PATIENCE}
    if url.get_backend_name() == "mssql":
        waits = {}
    try:
        # without a pool, no connection outlives the check and keeps the file locked
        engine = create_engine(url, poolclass=NullPool, connect_args=waits)
        with engine.connect() as connection:
            yield connection
    except (SQLAlchemyError, ModuleNotFoundError, OSError) as error:
        reason = reason_of(getattr(error, "orig", None) or error)
        remedy = next(
            (remedy for word, remedy in _REMEDIES.items() if word in reason),
            "start its server, or correct MLFLOW_TRACKING_URI",
        )
        raise TrackingError(f"cannot use the database {_shown(url)}: {reason}; {remedy}") from error


def _check_version(connection: Connection, url: URL) -> None:
    """Raises TrackingError if another version of MLflow created the database."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory(str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    if found == scripts.get_current_head():
        return
    try:
        is_older = found is None or scripts.get_revision(found) is not None
    except CommandError:
        is_older = False
    if not is_older:
        raise TrackingError(
            f"{_shown(url)} was made by a later version of MLflow than {mlflow.__version__} (schema "
            f"{found}); run 'pip install --upgrade mlflow', or name another with MLFLOW_TRACKING_URI"
        )
    file = file_of(url)
    upgrade = f"mlflow db upgrade {shlex.quote(_shown(url) if not file else f'sqlite:///{file}')}"
    how = (
        f"'cp {shlex.quote(str(file))} {shlex.quote(f'{file}.bak')} && {upgrade}'"
        if file
        else f"a backup, then '{upgrade}' with its user and password,"
    )
    raise TrackingError(
        f"{_shown(url)} was made by an older version of MLflow; {how} updates it to this version"
    )


def _check_folder(file: Path) -> None:
    """Raises TrackingError unless a database can be created at ``file``."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise TrackingError(
            f"cannot write {file.name} in {str(file.parent)!r}: {error.strerror}; {ELSEWHERE}"
        ) from error


def _make(url: URL) -> None:
    """Lets MLflow create its tables."""
    for left in reversed(range(_TRIES)):  # a process without our lock may be creating them
        try:
            client(url.render_as_string(hide_password=False)).search_experiments(max_results=1)
            return
        except (MlflowException, SQLAlchemyError) as error:
            if not left:
                raise TrackingError(f"cannot create {_shown(url)}: {reason_of(error)}") from error
            time.sleep(1)


@dataclass(frozen=True)
class _Move:
    """Experiment whose recorded artifact folder differs from the one beside the database."""

    location: str
    old: Path
    new: Path


def _moved(connection: Connection, url: URL) -> list[_Move]:
    """Returns the experiments whose folder was moved together with the database."""
    file = file_of(url)
    if not file:
        return []
    found = []
    for (location,) in connection.execute(text("SELECT artifact_location FROM experiments")):
        old, new = local_path(location or ""), new_place(location or "", file)
        if old and new:
            found.append(_Move(location, old, new))
    return found


def relocate() -> list[tuple[Path, Path]]:
    """Updates the folder addresses in a database that was moved or copied with its artifact folder.

    Returns the old and the new folder of each changed experiment.
    """
    uri = mlflow.get_tracking_uri()
    if is_remote() or urlsplit(uri).scheme != "sqlite":
        raise TrackingError(
            f"{shown_uri()} is not an SQLite file; only such a database can be relocated"
        )
    url = make_url(uri)
    if not (file := file_of(url)) or not file.exists():
        raise TrackingError(f"there is no database {_shown(url)}; change to the folder that holds it")
    with _connected(url) as connection:
        moved = _moved(connection, url)
        for move in moved:
            for table, column in _LOCATIONS:
                change = text(
                    f"UPDATE {table} SET {column} = :new || substr({column}, :past) "
                    f"WHERE {column} = :old OR substr({column}, 1, :past) = :old || '/'"
                )
                named = {"old": move.location, "past": len(move.location) + 1}
                connection.execute(change, {**named, "new": move.new.as_uri()})
        connection.commit()
    return [(move.old, move.new) for move in moved]


def file_of(url: URL) -> Path | None:
    """Returns the file of an SQLite database; None for another database or one in memory."""
    name = url.database or ""
    is_file = url.get_backend_name() == "sqlite" and name not in ("", ":memory:")
    return Path(name).absolute() if is_file and not name.startswith("file:") else None


def _shown(url: URL) -> str:
    """Returns a database's name for messages: a file's path, or an address without password."""
    file = file_of(url)
    return repr(str(file)) if file else without_password(url.render_as_string(hide_password=False))
