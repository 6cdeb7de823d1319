"""Registered versions as they are listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from typing import TYPE_CHECKING

from fer_mlops import REGISTERED_NAME
from fer_mlops.tracking.model_names import DECISION_TAG, SCORE_TAG
from fer_mlops.tracking.sqlite_registry import StoredVersion, read_versions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Version:
    """One registered version."""

    number: int
    aliases: tuple[str, ...]
    family: str
    data: str
    split: str
    valid_macro_f1: str
    """Score as logged. This and the fields below are empty if unknown."""
    test_macro_f1: str
    test_n: str
    decision: str
    run_id: str
    registered: str
    """Local date of registration."""
    card: str
    """Model card in Markdown."""

    def as_dict(self) -> dict[str, object]:
        """Returns the version as plain values, for JSON; what is unknown is None."""
        fields = {name: value or None for name, value in asdict(self).items()}
        numbers = ("valid_macro_f1", "test_macro_f1", "test_n")
        return {**fields, "aliases": self.aliases, **{n: number_in(getattr(self, n)) for n in numbers}}


def number_in(text: str) -> float | None:
    """Returns the number that a tag holds; None if it holds none."""
    try:
        number = int(text) if text.isdecimal() else float(text)  # JSON shows 1232, not 1232.0
    except ValueError:
        return None
    return number if isfinite(number) else None


def list_versions() -> list[Version]:
    """Returns all versions, newest first.

    Raises:
        TrackingError: The tracking store cannot be used.
    """
    stored = read_versions(REGISTERED_NAME)
    if stored is not None:
        found = [version_from(version, version.aliases) for version in stored]
    else:
        from fer_mlops.tracking.alias_lock import all_aliases  # MLflow takes seconds to import
        from fer_mlops.tracking.connection import client
        from fer_mlops.tracking.store import check_store

        check_store()
        aliases = all_aliases()
        entries = client().search_model_versions(f"name = '{REGISTERED_NAME}'")
        found = [version_from(entry, aliases) for entry in entries]
    return sorted(found, key=lambda version: -version.number)


def version_from(found: ModelVersion | StoredVersion, aliases: Mapping[str, int]) -> Version:
    """Returns the version in an entry of the registry, with its names among ``aliases``."""
    number, tags = int(found.version), found.tags
    return Version(
        number=number,
        aliases=tuple(sorted(alias for alias, version in aliases.items() if version == number)),
        family=tags.get("family", ""),
        data=tags.get("data", ""),
        split=tags.get("split", ""),
        valid_macro_f1=tags.get(SCORE_TAG, ""),
        test_macro_f1=tags.get("test_macro_f1", ""),
        test_n=tags.get("test_n", ""),
        decision=tags.get(DECISION_TAG, ""),
        run_id=found.run_id or "",
        registered=f"{datetime.fromtimestamp(found.creation_timestamp / 1000):%Y-%m-%d}",
        card=found.description or "",
    )
