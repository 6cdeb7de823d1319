"""HTTP server: binds the port, loads the models, and runs until SIGTERM or Ctrl-C."""

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
from fer_mlops.tracking.connection import is_remote
from fer_mlops.tracking.model_names import CHAMPION, DRAWN, is_drawn
from fer_mlops.tracking.store import check_store

_LAST_ANSWERS = 30  # seconds that open requests have after SIGTERM


def serve(settings: ServeSettings, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or Ctrl-C, then finishes open requests.

    ``announce`` is called with the model and the address once the service listens.

    Raises:
        ConfigError: The address is in use, or does not belong to this machine.
        TrackingError: The registry does not respond.
        ModelError: There is no such model, or it cannot be loaded.
    """
    is_stored = settings.model.startswith(("models:/", "runs:/"))
    if is_stored and not settings.wait_for_model and not is_remote():  # a server may start later
        check_store()
    listener = bind(settings.host, settings.port)  # before the models, which take seconds to load
    with listener, _log_to_stderr():
        torch.set_num_threads(settings.num_threads)
        service = Service(settings)
        service.slots.load()
        config = uvicorn.Config(
            create_app(service),
            log_config=None,  # the log of this process stays as it is
            access_log=False,  # Observer logs requests, without the clients' addresses
            server_header=False,
            proxy_headers=bool(settings.proxies),
            forwarded_allow_ips=settings.proxies,
            timeout_graceful_shutdown=_LAST_ANSWERS,
        )
        served = service.slots.filled.get(CHAMPION)
        what = served.card.name if served else f"no model yet, waiting for {settings.model},"
        port = listener.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        drawn = f"\n{DRAWN}" if served and is_drawn(served.card.tags) else ""
        server = _Server(config, lambda: announce(f"serving {what} at http://{host}:{port}{drawn}"))
        try:
            server.run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn raises the signal again after its shutdown
            logging.getLogger("fer_mlops.serving.http").info("event=stopped")


class _Server(uvicorn.Server):
    """Server that calls ``announce`` once it listens."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self.announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.announce()


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket that is bound to the address and does not listen yet.

    Raises:
        ConfigError: The address cannot be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # asyncio sets TCP_NODELAY only if the protocol is given; without it a response waits 40 ms
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {host} port {port}: {error.strerror or error}; choose another address "
            "with --host and --port (0 picks a free one)"
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
