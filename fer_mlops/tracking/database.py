"""The database that runs go to where there is no server: whether it can be used, and where it lies."""

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
from urllib.request import url2pathname

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fer_mlops.errors import TrackingError
from fer_mlops.files import locked
from fer_mlops.tracking.connection import is_remote, reason_of, shown_uri, without_password

KINDS = ("sqlite", "postgresql", "mysql", "mssql")
_PATIENCE = 1
"""Seconds to wait for a database that another process holds, or a database server."""
_TRIES = 3
ELSEWHERE = "stand in another folder or set MLFLOW_TRACKING_URI"
_REMEDIES = {
    "locked": "another process holds it for long; end that one, then try again",
    "not a database": "put a backup in its place, or move it away to begin a new one",
    "malformed": "put a backup in its place, or move it away to begin a new one",
    "full": "free space",
    "unable to open": ELSEWHERE,
    "readonly": ELSEWHERE,
}
"""What to do, by a word of what a database says."""
_LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
    ("model_versions", "source"),
)
"""Where MLflow's database names folders."""


def check_database(uri: str, *, is_written: bool) -> None:
    """Returns if the database is MLflow's, of this version, and can be used; makes it if need be.

    Raises:
        TrackingError: It cannot be used; the message says what to do.
    """
    url = make_url(uri)
    file = _file_of(url)
    if file and not file.exists():
        _check_folder(file)
    try:
        _look_into(url, is_written=is_written)
    except TrackingError:
        with ExitStack() as lock:
            if file:  # another process may be making it, and is waited for
                with suppress(OSError):  # nobody makes it in a folder that cannot be written
                    lock.enter_context(locked(file))
            try:
                _look_into(url, is_written=is_written)
            except _EmptyError:
                _make(url)


class _EmptyError(TrackingError):
    """The database has no tables yet."""


def _look_into(url: URL, *, is_written: bool) -> None:
    """Raises TrackingError where MLflow cannot use the database as it is."""
    with _connected(url) as connection:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if not tables:
            raise _EmptyError
        if "experiments" not in tables:
            raise TrackingError(
                f"{_shown(url)} holds other tables than MLflow's ({', '.join(sorted(tables)[:3])}); "
                "name another database with MLFLOW_TRACKING_URI"
            )
        _check_version(connection, url)
        if is_written and url.get_backend_name() == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails where nothing can be written
            connection.rollback()
        for move in _moved(connection, url):
            raise TrackingError(
                f"{_shown(url)} was moved or copied: it names the folder {str(move.old)!r}, and lies "
                f"beside {str(move.new)!r}; 'fer-mlops registry relocate' makes it name that one"
            )


@contextmanager
def _connected(url: URL) -> Iterator[Connection]:
    """Yields a connection; what a database says becomes a TrackingError."""
    is_file = url.get_backend_name() == "sqlite"
    waits: dict[str, Any] = {"timeout" if is_file else "connect_timeout": _PATIENCE}
    if url.get_backend_name() == "mssql":
        waits = {}
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=waits)
        with engine.connect() as connection:
            yield connection
    except (SQLAlchemyError, ModuleNotFoundError, OSError) as error:
        said = reason_of(getattr(error, "orig", None) or error)
        remedy = next(
            (remedy for word, remedy in _REMEDIES.items() if word in said),
            "start its server, or correct MLFLOW_TRACKING_URI",
        )
        raise TrackingError(f"cannot use the database {_shown(url)}: {said}; {remedy}") from error


def _check_version(connection: Connection, url: URL) -> None:
    """Raises TrackingError where another version of MLflow made the database."""
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
            f"{found}); 'pip install --upgrade mlflow', or name another with MLFLOW_TRACKING_URI"
        )
    file = _file_of(url)
    upgrade = f"mlflow db upgrade {shlex.quote(_shown(url) if not file else f'sqlite:///{file}')}"
    how = (
        f"'cp {shlex.quote(str(file))} {shlex.quote(f'{file}.bak')} && {upgrade}'"
        if file
        else f"a backup, then '{upgrade}' with its user and password,"
    )
    raise TrackingError(
        f"{_shown(url)} was made by an older version of MLflow; {how} brings it up to date"
    )


def _check_folder(file: Path) -> None:
    """Raises TrackingError unless a database can be made at ``file``."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise TrackingError(
            f"cannot write {file.name} in {str(file.parent)!r}: {error.strerror}; {ELSEWHERE}"
        ) from error


def _make(url: URL) -> None:
    """Has MLflow make its tables; again where a process that knows no lock makes them at once."""
    for left in reversed(range(_TRIES)):
        try:
            MlflowClient(url.render_as_string(hide_password=False)).search_experiments(max_results=1)
            return
        except (MlflowException, SQLAlchemyError) as error:
            if not left:
                raise TrackingError(f"cannot make {_shown(url)}: {reason_of(error)}") from error
            time.sleep(1)


@dataclass(frozen=True)
class _Move:
    """An experiment whose folder is not the one beside the database."""

    location: str
    old: Path
    new: Path


def _moved(connection: Connection, url: URL) -> list[_Move]:
    """Returns the experiments whose folder of the same name lies beside a database that names another.

    A folder elsewhere is no mistake of itself: a database may serve many folders.
    """
    file = _file_of(url)
    if not file:
        return []
    found = []
    for (location,) in connection.execute(text("SELECT artifact_location FROM experiments")):
        old = local_path(location or "")
        new = file.parent / "mlruns" / old.name if old else None
        if old and new and new.is_dir() and not (old.is_dir() and old.samefile(new)):
            found.append(_Move(location, old, new))
    return found


def relocate() -> list[tuple[Path, Path]]:
    """Makes a database that was moved or copied with its folder name the folder beside it.

    Returns:
        Each experiment's old and new folder; none where nothing was moved.

    Raises:
        TrackingError: The database cannot be used.
    """
    uri = mlflow.get_tracking_uri()
    if is_remote() or urlsplit(uri).scheme != "sqlite":
        raise TrackingError(f"{shown_uri()} is no database in a folder; only such a one is relocated")
    url = make_url(uri)
    if not (file := _file_of(url)) or not file.exists():
        raise TrackingError(f"there is no database {_shown(url)}; stand in the folder that holds it")
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


def local_path(uri: str) -> Path | None:
    """Returns the folder that ``uri`` means, or None where it is none of this machine."""
    parts = urlsplit(uri)
    if parts.scheme not in ("", "file") or not parts.path:
        return None
    return Path(url2pathname(parts.path) if parts.scheme else uri).absolute()


def _file_of(url: URL) -> Path | None:
    """Returns the file of an SQLite database, or None for any other, or one in memory."""
    name = url.database or ""
    is_file = url.get_backend_name() == "sqlite" and name not in ("", ":memory:")
    return Path(name).absolute() if is_file and not name.startswith("file:") else None


def _shown(url: URL) -> str:
    """Returns a database's name as it may be shown: a file's path, or an address without password."""
    file = _file_of(url)
    return repr(str(file)) if file else without_password(url.render_as_string(hide_password=False))
