"""Recipe template: every setting of a family as a comment, with its description and default."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Iterator

import yaml

from fer_mlops.config.experiments import FAMILIES
from fer_mlops.config.validation import Settings, choices, descriptions

_WIDTH = 100


def recipe_template(family: str, file: str) -> str:
    """Returns a recipe for the family that changes nothing until a ``#`` before a setting is removed."""
    experiment = FAMILIES[family]()
    head = [
        f"# Recipe for {family}: fer-mlops {family} --recipe {file}",
        "# Each setting has its default. Remove the # before a setting to change it.",
        "# Options of the command, such as --seed and --set KEY=VALUE, override the recipe.",
        "",
        f"family: {family}",
    ]
    return "\n".join([*head, *_lines(experiment, "")]) + "\n"


def _lines(settings: Settings, indent: str) -> Iterator[str]:
    told, chosen = descriptions(type(settings)), choices(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        yield ""
        if isinstance(value, Settings):
            yield from _comment(str(type(value).__doc__).splitlines()[0], indent)
            yield f"{indent}{field.name}:"
            yield from _lines(value, f"{indent}  ")
            continue
        text = told[field.name]
        absent = [choice for choice in chosen.get(field.name, ()) if choice not in text]
        yield from _comment(
            f"{text} One of {', '.join(chosen[field.name])}." if absent else text, indent
        )
        yield f"{indent}#{field.name}: {_as_yaml(value)}"


def _comment(text: str, indent: str) -> list[str]:
    plain = text.replace("``", "")
    marked = f"{indent}# "
    return textwrap.wrap(
        plain,
        _WIDTH,
        initial_indent=marked,
        subsequent_indent=marked,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_yaml(value: object) -> str:
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=math.inf)
    return text.removesuffix("...\n").strip()
