"""Request errors: a status and one sentence for the client; rate limit."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

_CLIENTS = 10_000  # most client addresses in memory; the least recently seen is dropped first


class RequestError(Exception):
    """Error response: status and a sentence for the client."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers


def error_response(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Returns the error response, in the format of MLflow's own server."""
    known = {s.value: s.name for s in HTTPStatus}
    content = {"error_code": known.get(status, str(status)), "message": sentence}
    return JSONResponse(content, status, dict(headers or {}))


def busy(sentence: str, seconds: int, status: int = 503) -> RequestError:
    """Returns the error for a request that may succeed if it is sent again after ``seconds``."""
    return RequestError(status, f"{sentence}; try again in {seconds} s", {"Retry-After": str(seconds)})


class RateLimit:
    """Limit of requests per second and client address, twice as many in a burst (token bucket)."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self.burst = max(1.0, 2 * rate)
        self.clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Counts a request.

        Raises:
            RequestError: The address is over its rate (429); the error gives the seconds to wait.
        """
        if not self.rate:
            return
        client, now = _network(address), self.clock()
        # taken out and put back at the end, so that the least recently seen stands first
        left, seen = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - seen) * self.rate)
        self._left[client] = (max(0.0, left - 1), now) if left >= 1 else (left, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        if left < 1:
            wait = math.ceil((1 - left) / self.rate)
            raise busy(f"more than {self.rate:g} requests a second from one address", wait, 429)


def _network(address: str) -> str:
    """Returns the IPv4 address, or the /64 network of an IPv6 address, which one client usually owns."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network(f"{address}/64", strict=False))
