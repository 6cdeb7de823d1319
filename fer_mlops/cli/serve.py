"""Command ``serve``: the HTTP server of the champion."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from fer_mlops.cli.commands import Command
from fer_mlops.cli.options import MODEL, SET, is_chosen, model_option


@click.command(
    cls=Command,
    examples=(
        "fer-mlops serve --port 8080",
        "fer-mlops serve --set rate=20 --set proxies=127.0.0.1 --allowed-hosts fer.example.org",
    ),
)
@model_option("Model to serve.")
@click.option(
    "--challenger",
    type=MODEL,
    metavar="NAME",
    default="auto",
    show_default=True,
    help="Second model, used on request: auto (the alias challenger), none, or a model.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; 0.0.0.0 lets others in.",
)
@click.option("--port", default=8080, show_default=True, help="Port to listen at; 0 takes a free one.")
@click.option(
    "--allowed-hosts",
    default="",
    help="Host names of the service besides localhost and IP addresses; * allows any.",
)
@click.option(
    "--wait", "wait_for_model", is_flag=True, help="Start without a model; ready once there is one."
)
@click.option("--settings", default="", metavar="FILE", help="YAML file of settings (docs/serving.md).")
@SET
@click.pass_context
def serve(
    context: click.Context, /, settings: str, assignments: tuple[str, ...], **options: Any
) -> None:
    """Serve the champion over HTTP, with a web page.

    The server loads each new champion by itself, without losing a request. Limits, batching and logging
    are set by --set and --settings, such as --set rate=20.
    """
    from fer_mlops.config.conversion import fill
    from fer_mlops.config.recipes import parse_assignments, read_settings
    from fer_mlops.serving.http.settings import ServeSettings

    chosen = read_settings(Path(settings)) if is_chosen(settings) else {}
    chosen |= parse_assignments(assignments)
    # a default of the command line must not override a value of --settings
    given = {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    resolved = dataclasses.replace(fill(ServeSettings(), chosen), **given)
    from fer_mlops.serving.http.server import serve as run

    run(resolved, click.echo)
