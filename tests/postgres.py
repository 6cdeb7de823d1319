"""A PostgreSQL server of its own for a test."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BINARIES = (
    *(Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder),
    *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
)
BIN = next((folder for folder in _BINARIES if (folder / "initdb").is_file()), None)
"""Where PostgreSQL's own programs are; None where it is not installed."""
PASSWORD = "quite-secret"


@dataclass
class Server:
    """One that can be stopped and started."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://optuna:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self.folder}"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def make(self) -> None:
        word = self.folder / "password"
        word.write_text(PASSWORD)
        word.chmod(0o644)
        self._run("initdb", "-U", "optuna", "-A", "scram-sha-256", "--pwfile", str(word), "-N")

    def _run(self, program: str, *words: str) -> None:
        assert BIN
        # the server refuses to run as root
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        command = [*user, str(BIN / program), "-D", str(self.folder / "data"), *words]
        done = subprocess.run(
            command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
        )
        assert done.returncode == 0, f"{program} failed; see {self.folder / 'log'}"


@contextmanager
def postgres() -> Iterator[Server]:
    """Starts a server on a free port, with a database that only a password opens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are closed to other users
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    server = Server(folder, port)
    try:
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
