"""Command ``serve``: the HTTP server of the champion."""

from __future__ import annotations

from typing import Any

import click


@click.command()
@click.option(
    "--model", default="models:/fer-classifier@champion", show_default=True, help="Model to serve."
)
@click.option(
    "--challenger",
    default="auto",
    show_default=True,
    help="Second model, used on request; auto follows the alias, none disables it.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 accepts connections from other machines.",
)
@click.option("--port", default=8080, show_default=True, help="Port; 0 chooses a free one.")
@click.option(
    "--allowed-hosts",
    default="",
    help="Accepted host names, besides localhost and IP addresses; * accepts any.",
)
@click.option(
    "--wait", "waits", is_flag=True, help="Start without a model; become ready when one is registered."
)
@click.option("--poll", default=5.0, show_default=True, help="Seconds between registry checks.")
@click.option(
    "--max-batch", default=64, show_default=True, help="Largest number of faces in one forward pass."
)
@click.option(
    "--max-wait-ms",
    default=4.0,
    show_default=True,
    help="Longest wait of a batch for requests still being decoded; a single request does not wait.",
)
@click.option("--threads", default=0, help="Threads of a forward pass (default: all cores, at most 4).")
@click.option("--max-bytes", default=10 * 2**20, show_default=True, help="Largest request, in bytes.")
@click.option("--max-pixels", default=16_000_000, show_default=True, help="Largest image, in pixels.")
@click.option("--max-images", default=256, show_default=True, help="Most images in a request.")
@click.option(
    "--max-queue", default=128, show_default=True, help="Most requests at once; others get 503."
)
@click.option(
    "--rate",
    default=0.0,
    help="Most requests per second from one address; others get 429 (default: no limit).",
)
@click.option("--proxies", default="", help="Addresses of proxies whose X-Forwarded-For is trusted.")
@click.option(
    "--log-requests/--no-log-requests",
    "logs_requests",
    default=True,
    show_default=True,
    help="Log each request.",
)
def serve(**options: Any) -> None:
    """Serve the champion with a web page, a REST API and metrics; reload it after a promotion."""
    from fer_mlops.serving.http.settings import ServeSettings

    settings = ServeSettings(**options)
    from fer_mlops.serving.http.server import serve as run

    run(settings, click.echo)
