"""Talking to a service over bare sockets: quick enough for a benchmark, rude enough for a test."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hostile import Hostile


@dataclass
class Line:
    """One connection that stays open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, wire: bytes) -> tuple[int, bytes]:
        """Returns status and body of the answer to a whole request."""
        self.writer.write(wire)
        await self.writer.drain()
        return await self.hear()

    async def hear(self) -> tuple[int, bytes]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return status, await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


async def send_hostile(port: int, hostile: Hostile, patience: float = 20.0) -> tuple[int, bytes]:
    """Returns the status and body of the answer; (0, b"") if the service hung up without one."""
    line = await Line.open(port)
    try:
        line.writer.write(hostile.wire)
        if hostile.may_hang_up:
            line.writer.write_eof()
        async with asyncio.timeout(patience):
            return await line.hear()
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0, b""
    finally:
        line.close()
