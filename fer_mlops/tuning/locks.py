"""Study locks: let only one process of a study do a task at a time, through the study's database.

A lock is a row that only one process can insert. Its owner updates a heartbeat in the row. An owner
without a recent heartbeat, or whose process is known to have ended, may be replaced.
"""

from __future__ import annotations

import hashlib
import os
import platform
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

import psutil
from sqlalchemy import (
    Column,
    ColumnElement,
    DateTime,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from fer_mlops.errors import TrackingError
from fer_mlops.tuning.storage import PatientStorage, is_away

_POLL = 0.2  # seconds between two attempts to take a lock
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # differs for each boot and each Linux machine
_TABLE = Table(
    "fer_mlops_claims",
    MetaData(),
    Column("study", String(255), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("beat", DateTime, nullable=False),
)
_HERE = "here: "


def this_process() -> str:
    """Returns a name that no other living process has, on this machine or another."""
    return f"{platform.node()}:{os.getpid()}:{_place()}"


def is_gone(process: str) -> bool:
    """Returns whether the process is known to have ended; always False for other machines."""
    _, pid, place = process.rsplit(":", 2)
    return place == _place() and not psutil.pid_exists(int(pid))


def _place() -> str:
    """Returns an id of this machine's boot and container, to tell equal process numbers apart."""
    # host names are not unique, and each machine has the same initial PID namespace
    try:
        start = _BOOT_ID.read_text(encoding="ascii").strip()
        numbers = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - the link is not a path
    except OSError:
        start, numbers = str(psutil.boot_time()), ""
    return hashlib.sha256(f"{platform.node()} {start} {numbers}".encode()).hexdigest()[:12]


class StudyLocks:
    """Locks of one process on one study."""

    def __init__(self, storage: PatientStorage, study_name: str, owner: str = "") -> None:
        self.storage, self.study_name = storage, study_name
        self.owner = owner or this_process()
        self._stopped = threading.Event()
        storage.ask(self._make_table)

    def take(self, name: str) -> bool:
        """Takes the lock if it is free or its owner has died; returns whether this process has it."""
        return self.storage.ask(lambda: self._take(name))

    def wait(self, name: str) -> None:
        """Waits until this process has the lock."""
        while not self.take(name):
            time.sleep(_POLL)

    def drop(self, name: str) -> None:
        """Releases the lock if this process has it."""
        self.storage.ask(lambda: self._drop(name))

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Waits for the lock and holds it inside the context."""
        self.wait(name)
        try:
            yield
        except BaseException:
            with suppress(TrackingError):  # the original error matters more
                self.drop(name)
            raise
        self.drop(name)

    def owner_of(self, name: str) -> str | None:
        """Returns the living process that has the lock, or None."""
        return self.storage.ask(lambda: self._living().get(name))

    def others(self) -> list[str]:
        """Returns the other living processes of the study."""
        living = self.storage.ask(self._living)
        return sorted(
            owner for name, owner in living.items() if name.startswith(_HERE) and owner != self.owner
        )

    @contextmanager
    def present(self) -> Iterator[None]:
        """Registers this process with the study and sends heartbeats inside the context."""
        self.wait(_HERE + self.owner)
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()
            # an unavailable storage needs no sign-off: without heartbeats the locks lapse
            with suppress(SQLAlchemyError), self.storage.engine.begin() as connection:
                connection.execute(delete(_TABLE).where(*self._own()))

    def _make_table(self) -> None:
        try:
            _TABLE.create(self.storage.engine, checkfirst=True)
        except SQLAlchemyError:
            _TABLE.create(self.storage.engine, checkfirst=True)  # another process made it meanwhile

    def _take(self, name: str) -> bool:
        row = {"study": self.study_name, "name": name, "owner": self.owner}
        try:
            with self.storage.engine.begin() as connection:
                connection.execute(insert(_TABLE).values(**row, beat=func.now()))
            return True
        except IntegrityError:
            pass
        with self.storage.engine.begin() as connection:
            found = connection.execute(
                # the database's clock on both sides, as the clocks of machines differ
                select(_TABLE.c.owner, _TABLE.c.beat, func.now()).where(*self._named(name))
            ).first()
            if found is None:
                return False  # released just now; the next attempt gets it
            owner, beat, now = found
            if owner == self.owner:
                return True
            if not self._is_dead(owner, beat, now):
                return False
            taken = connection.execute(
                update(_TABLE)
                # the owner in the condition: of two processes that find a dead owner, one replaces it
                .where(*self._named(name), _TABLE.c.owner == owner)
                .values(owner=self.owner, beat=func.now())
            )
            return bool(taken.rowcount)

    def _drop(self, name: str) -> None:
        with self.storage.engine.begin() as connection:
            connection.execute(delete(_TABLE).where(*self._named(name), _TABLE.c.owner == self.owner))

    def _living(self) -> dict[str, str]:
        mine = select(_TABLE.c.name, _TABLE.c.owner, _TABLE.c.beat, func.now())
        with self.storage.engine.begin() as connection:
            rows = connection.execute(mine.where(_TABLE.c.study == self.study_name)).all()
        return {name: owner for name, owner, beat, now in rows if not self._is_dead(owner, beat, now)}

    def _beat(self) -> None:
        while not self._stopped.wait(self.storage.heartbeat):
            try:
                with self.storage.engine.begin() as connection:
                    connection.execute(update(_TABLE).where(*self._own()).values(beat=func.now()))
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise

    def _own(self) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return (_TABLE.c.study == self.study_name, _TABLE.c.owner == self.owner)

    def _named(self, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        return (_TABLE.c.study == self.study_name, _TABLE.c.name == name)

    def _is_dead(self, owner: str, beat: datetime, now: datetime | str) -> bool:
        if is_gone(owner):
            return True
        present = datetime.fromisoformat(now) if isinstance(now, str) else now
        silence = present.replace(tzinfo=None) - beat.replace(tzinfo=None)
        is_silent = silence > timedelta(seconds=self.storage.grace)
        # while the database was away, nobody could send a heartbeat
        return is_silent and not self.storage.was_away_lately()
