"""Printed tables of registered versions and gate decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fer_mlops.cli.output.screen import console
from fer_mlops.tracking.alias_lock import CHALLENGER, CHAMPION, REGISTERED_NAME

if TYPE_CHECKING:
    from fer_mlops.pipelines.promote import Decision
    from fer_mlops.tracking.versions import Version


def print_decision(decision: Decision) -> None:
    """Prints the gate's rules, the measured values and the version's new status."""
    against = f"version {decision.champion}" if decision.champion else "no champion"
    table = Table(
        title=f"version {decision.version} against {against}: {decision.faces}", box=SIMPLE_HEAD
    )
    for column in ("", "rule", "found", "asked"):
        table.add_column(column, overflow="fold")
    for check in decision.checks:
        mark = Text("kept", "green") if check.is_kept else Text("broken", "bold red")
        table.add_row(mark, Text(check.rule), Text(check.found), Text(check.asked))
    console.print(table, soft_wrap=False)
    for warning in decision.warnings:
        console.print(f"Warning: {warning}", style="bold red")
    now = {CHAMPION: "is champion now", CHALLENGER: "stays challenger"}.get(
        decision.outcome, "is kept out and is no challenger"
    )
    console.print(f"version {decision.version} {now}")


def print_versions(versions: Sequence[Version]) -> None:
    """Prints all registered versions, newest first."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in ("version", "alias", "family", "data", "split", "valid F1", "test F1", "n"):
        table.add_column(column, overflow="fold")
    for one in versions:
        scores = (one.valid_macro_f1[:5], one.test_macro_f1[:5], one.test_n)
        names = (", ".join(one.aliases), one.family, one.data, one.split)
        table.add_row(str(one.number), *map(Text, names), *scores)
    console.print(table, soft_wrap=False)


def print_card(version: Version) -> None:
    """Prints a version's card and the gate's last decision on it."""
    from rich.markdown import Markdown

    card = version.card or f"# {REGISTERED_NAME}/{version.number}\n\nNo card."
    console.print(Markdown(card, hyperlinks=False))  # show each link's address
    console.print(Text(f"aliases: {', '.join(version.aliases) or 'none'}; {version.decision}"))


def print_differences(one: Version, other: Version, found: Sequence[tuple[str, str, str]]) -> None:
    """Prints the differences between two versions."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", f"version {one.number}", f"version {other.number}"):
        table.add_column(column, overflow="fold")
    for row in found:
        table.add_row(*map(Text, row))
    console.print(table, soft_wrap=False)
