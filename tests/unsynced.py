"""Files and databases that do not wait for the disk: no test cuts the power, and a commit takes 20 ms.

What is written is in the operating system's hands all the same, so that a process can be killed.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress

from sqlalchemy import Engine, event

os.fsync = lambda _: None


@event.listens_for(Engine, "connect")
def _leave_it_to_the_system(connection: object, _: object) -> None:
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.Error):  # a file that is no database is for the code under test to find
            connection.execute("PRAGMA synchronous=OFF")
