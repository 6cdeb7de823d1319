"""Command classes: help in sections with examples, and hints for options that became settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from fer_mlops.errors import did_you_mean, nearest

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _moved(section: str, *names: str) -> dict[str, str]:
    """Returns the settings of a section by the options that they replace."""
    return {f"--{name.replace('_', '-')}": section + name for name in names}


MOVED: dict[str, dict[str, str]] = {
    "tune": {
        **_moved("tuning.", "sampler", "pruner", "direction", "finalists", "latency_budget"),
        **_moved("tuning.", "max_failures", "heartbeat", "first_trial"),
        **_moved("training.", "batch_size", "learning_rate"),
        **_moved("transfer.", "weights"),
        **_moved("data.", "identity_pattern", "relabel", "contempt", "on_bad_image"),
    },
    "serve": {
        **_moved("", "poll", "max_batch", "max_wait_ms", "threads", "max_bytes", "max_pixels"),
        **_moved("", "max_images", "max_queue", "rate", "proxies"),
        **dict.fromkeys(("--log-requests", "--no-log-requests"), "logs_requests"),
    },
}
"""Setting that replaces an option of earlier versions, by command and option."""


class Choice(click.Choice[str]):
    """One of a list of words; the error names the nearest one."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        hint = did_you_mean(str(value), self.choices)
        return f"{super().get_invalid_choice_message(value, ctx)}{hint and f' {hint.capitalize()}'}"


class Option(click.Option):
    """Option of one section of the help; without a section it belongs to the section before it."""

    def __init__(self, *flags: Any, section: str = "", **attributes: Any) -> None:
        super().__init__(*flags, **attributes)
        self.section = section


def option(*flags: str, cls: type[Option] = Option, **attributes: Any) -> Decorator:
    """Returns a decorator that adds an ``Option`` to a command."""
    return click.option(*flags, cls=cls, **attributes)


def with_options(*options: Decorator) -> Decorator:
    """Returns a decorator that adds the options; the help lists them in this order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for each in reversed(options):
            command = each(command)
        return command

    return decorate


class Command(click.Command):
    """Command whose help lists its options by section and ends with examples."""

    def __init__(self, *words: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*words, **attributes)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            typed = error.option_name.replace("_", "-")  # MLflow passes -P max_failures so
            if key := MOVED.get(self.name or "", {}).get(typed):
                raise click.UsageError(f"{typed} is now a setting: --set {key}=VALUE", ctx) from None
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        name = "Options"
        for parameter in self.get_params(ctx):
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(ctx)):
                name = getattr(parameter, "section", "") or name
                sections.setdefault(name, []).append(record)
        _write_sections(formatter, sections)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"  {example}\n")


class Group(click.Group):
    """Group whose help lists its commands by section."""

    command_class = Command

    def __init__(self, *words: Any, **attributes: Any) -> None:
        super().__init__(*words, **attributes)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, name: str, commands: Iterable[click.Command]) -> None:
        """Adds commands that the help lists under ``name``."""
        for command in commands:
            self.add_command(command)
            self.sections.setdefault(name, []).append(command.name or "")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        section = "" if args[0] in self.commands else self._section_like(args[0])
        if section:
            names = ", ".join(self.sections[section])
            raise click.UsageError(f"No such command {args[0]!r}. {section} with one of: {names}.", ctx)
        return super().resolve_command(ctx, args)

    def _section_like(self, word: str) -> str:
        """Returns the section spelt most like ``word``, unless a command is nearer."""
        named = {name.lower(): name for name in self.sections}
        return named.get(nearest(word, [*self.commands, *named]), "")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections = self.sections or {"Commands": list(self.commands)}
        rows = {
            name: [(command, self.commands[command].get_short_help_str(60)) for command in commands]
            for name, commands in sections.items()
        }
        _write_sections(formatter, rows)


Group.group_class = Group


def _write_sections(formatter: click.HelpFormatter, sections: dict[str, list[tuple[str, str]]]) -> None:
    """Writes lists of names and texts, with all texts in one column."""
    width = min(max(len(name) for rows in sections.values() for name, _ in rows), _WIDEST)
    for heading, rows in sections.items():
        with formatter.section(heading):
            formatter.write_dl([(f"{name:{width}}", text) for name, text in rows], col_max=_WIDEST)


_WIDEST = 26  # characters of the widest name beside which its text starts on the same line
