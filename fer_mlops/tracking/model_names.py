"""Names of trained models, and the aliases and tags of registered versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
SCORE_TAG = "valid_macro_f1"
DECISION_TAG = "decision"
_SAMPLE = "sample"  # value of the tag `data` of versions and runs for the faces that this project draws
DRAWN = "this model was trained on drawn faces; its predictions say nothing about real ones"


def is_drawn(tags: Mapping[str, str]) -> bool:
    """Returns whether the tags of a version or a run show that it was trained on the drawn sample."""
    return tags.get("data") == _SAMPLE


@dataclass(frozen=True)
class ModelUri:
    """Parsed name of a trained model, as given by a user."""

    text: str
    run_id: str = ""
    """ID in ``runs:/ID``."""
    model: str = ""
    """Registered name or LoggedModel ID in ``models:/…``."""
    alias: str = ""
    """Alias in ``models:/NAME@ALIAS``."""
    version: str = ""
    """Version in ``models:/NAME/VERSION``: a number, or ``latest``."""

    @classmethod
    def parse(cls, text: str) -> ModelUri:
        """Returns the parts of a name; a name without MLflow's schemes is a path."""
        scheme, is_uri, rest = text.partition(":/")
        rest = rest.strip("/")
        if not is_uri or not rest or scheme not in ("models", "runs"):
            return cls(text)
        if scheme == "runs":
            return cls(text.rstrip("/"), run_id=rest.partition("/")[0])
        model, at, alias = rest.partition("@")
        if at:
            return cls(text.rstrip("/"), model=model, alias=alias)
        model, _, version = rest.partition("/")
        return cls(text.rstrip("/"), model=model, version=version)

    @property
    def is_stored(self) -> bool:
        """Whether the model is in the tracking store and must be downloaded."""
        return bool(self.run_id or self.model)

    @property
    def is_registered(self) -> bool:
        """Whether the name is a registered version, not a run or a LoggedModel."""
        return bool(self.alias or self.version)
