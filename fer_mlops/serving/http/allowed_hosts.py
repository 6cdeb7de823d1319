"""Host and Origin checks: pages of other sites cannot use the service through a browser.

Without them, a page whose name resolves to this machine (DNS rebinding) could read every response, and
any page could post a form to the service.
"""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fer_mlops.serving.http.errors import RequestError, error_response
from fer_mlops.serving.http.settings import ServeSettings

_HARMLESS = ("GET", "HEAD", "OPTIONS")  # methods without effects, so that any page may link to them


class HostCheck:
    """ASGI middleware that refuses requests with a foreign Host or Origin."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings) -> None:
        self.app = app
        names = settings.allowed_hosts.lower().split(",")
        self.allowed = [name.strip() for name in names if name.strip()]
        self.bound = settings.host.lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self.check(scope["method"], Headers(scope=scope))
            except RequestError as error:
                await error_response(error.status, str(error))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def check(self, method: str, headers: Headers) -> None:
        """Checks the Host and Origin headers of a request.

        Raises:
            RequestError: The Host is not a name of this service, or the Origin is another site (403).
        """
        hosts = headers.getlist("host")  # empty with HTTP/1.0, which browsers do not use
        for host in hosts:
            if not (self._is_own(_hostname(host)) or self._is_allowed(host)):
                raise RequestError(
                    403,
                    f"{host[:100]!r} is not an allowed host name of this service; to allow it, start "
                    "the service with --allowed-hosts NAME",
                )
        for origin in () if method in _HARMLESS else headers.getlist("origin"):
            netloc = origin.lower().partition("://")[2]
            # the page's own origin is its Host; browsers send Origin with every post
            if [netloc] != [host.lower() for host in hosts] and not self._is_allowed(netloc):
                raise RequestError(
                    403,
                    f"pages of {origin[:100]!r} may not use this service; to allow them, start the "
                    "service with --allowed-hosts NAME",
                )

    def _is_own(self, name: str) -> bool:
        """Returns whether no other site can have the name; rebinding needs a name that DNS resolves."""
        if name in ("localhost", self.bound):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _is_allowed(self, host: str) -> bool:
        return any(
            fnmatchcase(given, pattern)
            for given in (host.lower(), _hostname(host))
            for pattern in self.allowed
        )


def _hostname(host: str) -> str:
    """Returns the host name in lower case without its port; empty if it is invalid."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
