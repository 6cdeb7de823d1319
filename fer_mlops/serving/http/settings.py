"""Settings of the service."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from fer_mlops import CHAMPION_NAME
from fer_mlops.config.validation import AtLeast0, AtLeast1, NotNegative, Positive, Settings

AUTO, NONE = "auto", "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings(Settings):
    """Settings of ``fer-mlops serve``: models, address, batching and limits."""

    model: str = CHAMPION_NAME
    """Model of the slot ``champion``; an alias is followed when it moves."""
    challenger: str = AUTO
    """Model of the slot ``challenger``; ``auto``: the same model's alias ``challenger``, if any."""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """TCP port; 0 picks a free one."""
    allowed_hosts: str = ""
    """Further host names, separated by commas, besides localhost, ``host`` and IP addresses; also the
    origins whose pages may post. ``*`` matches any characters."""
    wait_for_model: bool = False
    """Whether to start without a model; ``/ready`` is 503 until there is one."""
    poll: Positive = 5.0
    """Seconds between two checks of the registry."""
    max_batch: AtLeast1 = 64
    """Most faces of several requests in one forward pass; a larger request is not split."""
    max_wait_ms: NotNegative = 4.0
    """Most milliseconds that a request waits for others being decoded; a single one does not wait."""
    threads: AtLeast0 = 0
    """Threads of a forward pass, which is most of the work; 0: one per core, at most 4."""
    max_bytes: AtLeast1 = 10 * 2**20
    """Largest request body, in bytes."""
    max_pixels: AtLeast1 = 16_000_000
    """Largest image, in pixels: width x height of its header."""
    max_images: AtLeast1 = 256
    """Most images per request; together at most four times ``max_pixels``."""
    max_queue: AtLeast1 = 128
    """Most requests in the queue; further ones are refused with 503."""
    rate: NotNegative = 0.0
    """Most requests per second and client address, twice as many in a burst; 0: no limit."""
    proxies: str = ""
    """Addresses of trusted proxies, separated by commas; they state the client's address."""
    logs_requests: bool = True
    """Whether to log a line per request."""

    @property
    def max_request_pixels(self) -> int:
        """Most pixels of all images of a request together."""
        return 4 * self.max_pixels

    @property
    def num_threads(self) -> int:
        """Threads of a forward pass."""
        return self.threads or min(4, os.cpu_count() or 1)
