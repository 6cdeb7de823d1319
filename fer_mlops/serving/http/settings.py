"""What a person can choose about the service."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fer_mlops.errors import ConfigError

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How ``fer-mlops serve`` listens, gathers and refuses."""

    model: str = "models:/fer-classifier@champion"
    """Served by default; an alias is followed when it moves."""
    challenger: str = AUTO
    """Served beside it on request: ``auto`` is the same model's challenger while there is one."""
    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free one."""
    allowed_hosts: str = ""
    """Names, separated by commas, that the service answers to besides localhost, ``host`` and IP
    addresses, and whose pages may post to it; ``*`` stands for any letters."""
    waits: bool = False
    """Whether to start without a model, not ready until there is one."""
    poll: float = 5.0
    """Seconds between two looks at the registry."""
    max_batch: int = 64
    """Most faces of several requests in one forward pass."""
    max_wait_ms: float = 4.0
    """Longest that a request waits for others still being decoded; a lone one waits for none."""
    threads: int = 0
    """Cores of one forward pass, which is most of the work; 0 is all of them up to four."""
    max_bytes: int = 10 * 2**20
    """Largest request body."""
    max_pixels: int = 16_000_000
    """Largest image, width times height as its header states them."""
    max_images: int = 256
    """Most images of one request; together they may have four times ``max_pixels``."""
    max_queue: int = 128
    """Most requests at once; further ones are refused with 503."""
    rate: float = 0.0
    """Requests per second and client address, with twice as many in a burst; 0 sets no limit."""
    proxies: str = ""
    """Addresses of proxies, separated by commas, whose word for a client's address is taken."""
    logs_requests: bool = True
    """Whether every request is a line of the log."""

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
        """Returns how many pixels all images of a request may have together."""
        return 4 * self.max_pixels

    @property
    def num_threads(self) -> int:
        """Returns how many cores a forward pass takes."""
        return self.threads or min(4, os.cpu_count() or 1)
