"""Request middleware: access log, metrics, security headers and responses to internal errors.

Pictures and client addresses are never logged.
"""

from __future__ import annotations

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fer_mlops.serving.http.errors import error_response
from fer_mlops.serving.http.metrics import Counts

log = logging.getLogger("fer_mlops.serving.http")

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Observer:
    """ASGI middleware; must be the outermost, to see every request."""

    def __init__(
        self, app: ASGIApp, *, counts: Counts, routes: frozenset[str], logs_requests: bool
    ) -> None:
        self.app = app
        self.counts = counts
        self.routes = routes
        self.logs_requests = logs_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(
                        name, value
                    )  # files of the page have a Cache-Control of their own
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            log.exception("event=fault route=%s", self._route(scope))
            if not status:  # else the response has begun and cannot become an error
                fault = error_response(500, "internal error; the reason is in the log of the service")
                await fault(scope, receive, send_with_headers)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _route(self, scope: Scope) -> str:
        """Returns the path if it is a known route, else ``other``."""
        # clients could send endless other paths, or some that forge a line of the log
        return scope["path"] if scope["path"] in self.routes else "other"

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._route(scope)
        self.counts.requests.labels(route, str(status)).inc()
        self.counts.seconds.labels(route).observe(seconds)
        if self.logs_requests:
            log.info(
                "method=%s route=%s status=%d ms=%.1f",
                scope["method"] if scope["method"].isalpha() else "other",
                route,
                status,
                1000 * seconds,
            )
