"""The command that puts the champion on the net."""

from __future__ import annotations

from typing import Any

import click


@click.command()
@click.option("--model", default="models:/fer-classifier@champion", show_default=True)
@click.option(
    "--challenger",
    default="auto",
    show_default=True,
    help="Answers beside it on request; auto follows the alias, none has none.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets others in.")
@click.option("--port", default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--allowed-hosts",
    default="",
    help="Names it is reached by, as through a proxy, besides localhost and IP addresses; * is any.",
)
@click.option("--wait", "waits", is_flag=True, help="Start without a model; ready once there is one.")
@click.option("--poll", default=5.0, show_default=True, help="Seconds between looks at the registry.")
@click.option("--max-batch", default=64, show_default=True, help="Faces in one forward pass.")
@click.option(
    "--max-wait-ms",
    default=4.0,
    show_default=True,
    help="Longest wait for requests still being decoded; a lone one waits for none.",
)
@click.option("--threads", default=0, help="Cores of a forward pass, if not all up to four.")
@click.option("--max-bytes", default=10 * 2**20, show_default=True, help="Of a request.")
@click.option("--max-pixels", default=16_000_000, show_default=True, help="Of an image.")
@click.option("--max-images", default=256, show_default=True, help="Of a request.")
@click.option("--max-queue", default=128, show_default=True, help="Requests at once; 503 beyond.")
@click.option(
    "--rate", default=0.0, help="Requests per second and address; 429 beyond. No limit unless set."
)
@click.option("--proxies", default="", help="Addresses of proxies whose X-Forwarded-For is believed.")
@click.option("--log-requests/--no-log-requests", "logs_requests", default=True, show_default=True)
def serve(**options: Any) -> None:
    """Serve the champion: a page, REST, metrics; follows promotions without losing a request."""
    from fer_mlops.serving.http.settings import ServeSettings

    settings = ServeSettings(**options)
    from fer_mlops.serving.http.server import serve as run

    run(settings, click.echo)
