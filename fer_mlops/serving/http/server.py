"""``fer-mlops serve`` from the first look at the registry to the last answer."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import uvicorn

from fer_mlops.errors import ConfigError
from fer_mlops.serving.http.app import create_app
from fer_mlops.serving.http.service import Service
from fer_mlops.serving.http.settings import ServeSettings
from fer_mlops.tracking.alias_lock import CHAMPION
from fer_mlops.tracking.connection import is_remote
from fer_mlops.tracking.store import check_store

_LAST_ANSWERS = 30
"""Seconds that requests under way have to end in after SIGTERM."""


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C, then answers what was asked before.

    Args:
        settings: All choices.
        announce: Told what is served and where, once it is.

    Raises:
        ConfigError: The address is taken, or not this machine's.
        TrackingError: The registry does not answer.
        ModelError: There is no such model, or it does not load.
    """
    if not is_remote() and settings.model.startswith(("models:/", "runs:/")):
        check_store()  # a server may come later
    listener = bind(settings.host, settings.port)
    with listener, _log_to_stderr():
        torch.set_num_threads(settings.num_threads)
        service = Service(settings)
        service.slots.load()
        config = uvicorn.Config(
            create_app(service),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=settings.proxies,
            timeout_graceful_shutdown=_LAST_ANSWERS,
        )
        served = service.slots.filled.get(CHAMPION)
        what = served.card.name if served else f"nothing yet: waiting for {settings.model}"
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        server = _Server(config, lambda: announce(f"serving {what} at http://{host}:{port}"))
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn, which has ended well, passes the signal on
            log = logging.getLogger("fer_mlops.serving.http")
            log.info("event=stopped")


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self.announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.announce()


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that has the address, and does not listen yet.

    Raises:
        ConfigError: It cannot have it.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)  # unnamed, asyncio leaves TCP's delay on: 40 ms
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; choose others with --host "
            "and --port (0 takes a free one)"
        ) from error
    return listener


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    loggers = {"fer_mlops.serving.http": logging.INFO, "uvicorn": logging.WARNING}
    for name, level in loggers.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).setLevel(logging.NOTSET)
