"""Which names the service answers to, so that other sites' pages cannot use it through a browser.

A page whose own name is made to resolve to this machine (DNS rebinding) could read every response, and
any page may post a form here.
"""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from fer_mlops.serving.http.errors import RequestError, error_response
from fer_mlops.serving.http.settings import ServeSettings

_HARMLESS = ("GET", "HEAD", "OPTIONS")
"""Methods that change and compute nothing, so that any page may link to them."""


class HostCheck:
    """ASGI middleware that refuses requests under foreign names or from foreign pages."""

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
        """Returns if the request may be answered.

        Raises:
            RequestError: 403; its Host is no name of this service, or a page of another origin posts it.
        """
        hosts = headers.getlist("host")  # none with HTTP/1.0, which no browser speaks
        for host in hosts:
            if not (self._is_own(_hostname(host)) or self._is_allowed(host)):
                raise RequestError(
                    403,
                    f"{host[:100]!r} is no name of this service; if it should be, start it with "
                    "--allowed-hosts NAME",
                )
        for origin in () if method in _HARMLESS else headers.getlist("origin"):
            netloc = origin.lower().partition("://")[2]
            if [netloc] != [host.lower() for host in hosts] and not self._is_allowed(netloc):
                raise RequestError(
                    403,
                    f"a page of {origin[:100]!r} may not use this service; if it should, start it with "
                    "--allowed-hosts NAME",
                )

    def _is_own(self, name: str) -> bool:
        """Returns whether the name is of no other site: rebinding needs a name that DNS resolves."""
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
    """Returns the name without its port, in small letters; nothing where it is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
