"""Printed tables of registered versions and gate decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fer_mlops import REGISTERED_NAME
from fer_mlops.cli.output.screen import console, print_next, print_view
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from fer_mlops.config.recipes import Scalar
    from fer_mlops.pipelines.promote import Decision
    from fer_mlops.tracking.version_list import Version


def print_decision(decision: Decision, experiment_id: str) -> None:
    """Prints the gate's rules, the measured values, the version's new status and the next command."""
    version = decision.version
    against = f"version {decision.champion}" if decision.champion else "no champion"
    table = Table(title=f"version {version} against {against}: {decision.faces}", box=SIMPLE_HEAD)
    for column in ("", "rule", "measured", "required"):
        table.add_column(column, overflow="fold")
    for check in decision.checks:
        mark = Text("PASS", "green") if check.is_passed else Text("FAIL", "bold red")
        table.add_row(mark, Text(check.rule), Text(check.measured), Text(check.required))
    console.print(table, soft_wrap=False)
    for warning in decision.warnings:
        console.print(f"Warning: {warning}", style="bold red")
    status = {CHAMPION: "is champion now", CHALLENGER: "stays challenger"}.get(
        decision.outcome, "failed and gets no alias"
    )
    failed = [check.rule for check in decision.checks if not check.is_passed]
    why = f": failed {len(failed)} of {len(decision.checks)} rules: {', '.join(failed)}" * bool(failed)
    console.print(f"version {version} {status}{why}")
    print_view(experiment_id)
    if decision.is_promoted:
        print_next("fer-mlops serve")
    elif decision.has_too_few_faces:
        print_next(f"fer-mlops promote --version {version} --data path/to/more/faces")
    else:
        print_next(f"fer-mlops registry show {version}")


def print_versions(versions: Sequence[Version]) -> None:
    """Prints all registered versions, newest first."""
    if not versions:
        console.print(f"{REGISTERED_NAME} has no version yet; 'fer-mlops cnn' registers one")
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0)  # fits into 80 columns
    for column in ("no.", "alias", "family", "data", "split", "valid F1", "test F1", "n", "date"):
        table.add_column(column, overflow="fold", no_wrap=column != "data")
    for version in versions:
        scores = (_rounded(version.valid_macro_f1), _rounded(version.test_macro_f1))
        names = ("\n".join(version.aliases), version.family, version.data, version.split)
        cells = (str(version.number), *names, *scores, version.test_n, version.registered)
        table.add_row(*map(Text, cells))
    console.print(table, soft_wrap=False)
    print_next(f"fer-mlops registry show {versions[0].number}")


def _rounded(score: str) -> str:
    """Returns a score from a tag with three decimals; the text as it is if it is not a number."""
    try:
        return f"{float(score):.3f}"
    except ValueError:
        return score


def print_card(version: Version) -> None:
    """Prints a version's card and the gate's last decision on it."""
    from rich.markdown import Markdown

    card = version.card or f"# {REGISTERED_NAME}/{version.number}\n\nNo card."
    console.print(Markdown(card, hyperlinks=False))  # show each link's address
    console.print(Text(f"aliases: {', '.join(version.aliases) or 'none'}; {version.decision}"))
    if CHAMPION in version.aliases:
        print_next("fer-mlops serve")
    else:
        print_next(
            f"fer-mlops registry diff champion {version.number}",
            f"fer-mlops promote --version {version.number}",
        )


def print_differences(
    one: Version, other: Version, found: Sequence[tuple[str, Scalar | None, Scalar | None]]
) -> None:
    """Prints the differences between two versions."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("", f"version {one.number}", f"version {other.number}"):
        table.add_column(column, overflow="fold")
    for name, *values in found:
        table.add_row(Text(name), *(Text(_shown(name, value)) for value in values))
    console.print(table, soft_wrap=False)
    names = ",".join(f"models:/{REGISTERED_NAME}/{version.number}" for version in (one, other))
    print_next(f"fer-mlops compare --models {names}")


def _shown(name: str, value: Scalar | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if name.startswith("test/") else str(value)
