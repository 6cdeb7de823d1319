"""Request bodies: read with limits, held in memory only, dropped at the end of the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from fer_mlops.serving.http.errors import RequestError, busy
from fer_mlops.serving.http.request_parsing import HOW

T = TypeVar("T")

_BODY_SECONDS = 30
# a body up to this many times the limit is read to its end, as clients read the response after sending
_DRAINED = 4


class Bodies:
    """Reads request bodies, with limits on size, time and total memory.

    ``max_bytes`` is the most of one body, ``max_held`` of all open requests together.
    """

    def __init__(self, max_bytes: int, max_held: int) -> None:
        self.max_bytes = max_bytes
        self.max_held = max_held
        self.held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yields the body; its bytes count towards ``max_held`` until the block ends.

        Raises:
            RequestError: The body is too large (413), too slow (408), incomplete or empty (400), or open
                requests hold ``max_held`` bytes (503).
        """
        parts: list[bytes] = []
        try:
            await self._receive(request, parts)
            parts[:] = [b"".join(parts)]  # frees the pieces, and is still counted as held
            yield parts[0]
        finally:
            self._forget(parts)

    async def _receive(self, request: Request, parts: list[bytes]) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > _DRAINED * self.max_bytes:
            raise self._too_large()
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    self._keep(part, parts, size)
        except TimeoutError as error:
            raise RequestError(408, f"the body did not arrive within {_BODY_SECONDS} s") from error
        except ClientDisconnect as error:
            raise RequestError(400, "the client disconnected before its body was complete") from error
        if size > self.max_bytes:
            raise self._too_large()
        if not size:
            raise RequestError(400, f"the body is empty; {HOW}")

    def _keep(self, part: bytes, parts: list[bytes], size: int) -> None:
        if size > _DRAINED * self.max_bytes:
            raise self._too_large()
        if size > self.max_bytes:
            self._forget(parts)
            return
        parts.append(part)
        self.held += len(part)
        if self.held > self.max_held:
            raise busy(f"open requests hold the {self.max_held:,} bytes allowed", 1)

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body is larger than the {self.max_bytes:,} bytes allowed")

    def _forget(self, parts: list[bytes]) -> None:
        self.held -= sum(map(len, parts))
        parts.clear()


async def unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:
    """Returns the result of ``answer``, or cancels it when the client disconnects.

    Raises:
        RequestError: The client disconnected (499, only visible in the log and the metrics).
    """

    async def disconnect() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(disconnect())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise RequestError(499, "the client disconnected before the response")
        return answering.result()
    finally:
        answering.cancel()
        leaving.cancel()
