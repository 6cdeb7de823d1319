"""Settings of the service."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fer_mlops.errors import ConfigError

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of ``fer-mlops serve``: models, address, batching and limits."""

    model: str = "models:/fer-classifier@champion"
    """Model of the slot ``champion``; an alias is followed when it moves."""
    challenger: str = AUTO
    """Model of the slot ``challenger``; ``auto``: the same model's alias ``challenger``, if any."""
    host: str = "127.0.0.1"
    port: int = 8080
    """TCP port; 0 picks a free one."""
    allowed_hosts: str = ""
    """Further host names, separated by commas, besides localhost, ``host`` and IP addresses; also the
    origins whose pages may post. ``*`` matches any characters."""
    waits: bool = False
    """Whether to start without a model; ``/ready`` is 503 until there is one."""
    poll: float = 5.0
    """Seconds between two checks of the registry."""
    max_batch: int = 64
    """Most faces of several requests in one forward pass; a larger request is not split."""
    max_wait_ms: float = 4.0
    """Most milliseconds that a request waits for others being decoded; a single one does not wait."""
    threads: int = 0
    """Threads of a forward pass, which is most of the work; 0: one per core, at most 4."""
    max_bytes: int = 10 * 2**20
    """Largest request body, in bytes."""
    max_pixels: int = 16_000_000
    """Largest image, in pixels: width x height of its header."""
    max_images: int = 256
    """Most images per request; together at most four times ``max_pixels``."""
    max_queue: int = 128
    """Most requests in the queue; further ones are refused with 503."""
    rate: float = 0.0
    """Most requests per second and client address, twice as many in a burst; 0: no limit."""
    proxies: str = ""
    """Addresses of trusted proxies, separated by commas; they state the client's address."""
    logs_requests: bool = True
    """Whether to log a line per request."""

    def __post_init__(self) -> None:
        for name in ("max_batch", "max_bytes", "max_pixels", "max_images", "max_queue"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("max_wait_ms", "threads", "rate"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.poll <= 0:
            raise ConfigError(f"poll must be above 0 seconds, got {self.poll}")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port must be 0 to 65535, got {self.port}")

    @property
    def max_request_pixels(self) -> int:
        """Most pixels of all images of a request together."""
        return 4 * self.max_pixels

    @property
    def num_threads(self) -> int:
        """Threads of a forward pass."""
        return self.threads or min(4, os.cpu_count() or 1)
