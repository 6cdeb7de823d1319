"""Registration of a trained model as a version of ``fer-classifier``, with its first alias."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from fer_mlops import REGISTERED_NAME
from fer_mlops.tracking.alias_lock import (
    alias_lock,
    find_version,
    make_challenger,
    make_champion,
    make_registered_model,
    reason_against,
)
from fer_mlops.tracking.connection import client
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, DECISION_TAG, is_drawn

NO_ALIAS = "no alias"
REGISTERED_TAG = "registered_version"
"""Run tag with the registered version of the run's model; set once that version has its model card."""


@dataclass(frozen=True)
class Registration:
    """Result of registering a trained model."""

    version: int
    alias: str
    """``champion``, ``challenger`` or NO_ALIAS."""
    reason: str

    @property
    def is_champion(self) -> bool:
        """Whether registration made the version champion."""
        return self.alias == CHAMPION

    @property
    def facts(self) -> dict[str, int | str]:
        """The tags of the run."""
        return {REGISTERED_TAG: self.version, "alias": self.alias, "alias_reason": self.reason}


def register(model_id: str, tags: Mapping[str, str]) -> Registration:
    """Registers a logged model as a new version and gives it an alias.

    The version becomes ``champion`` if there is none, so that a model can be loaded by name. A champion
    of drawn faces gives way to the first model of real faces. Otherwise the version becomes
    ``challenger``, and the gate (``fer-mlops promote``) decides. A version with FLAW_TAG gets no alias.
    ``tags`` must include SCORE_TAG and DIGEST_TAG.
    """
    store = client()
    make_registered_model()
    with alias_lock():  # of two runs that end at once, the first becomes champion, the second challenger
        # a run that was killed during its first call makes no second version
        version = _version_before(model_id) or _make_version(model_id, tags)
        number = int(version.version)
        if DECISION_TAG in version.tags:
            alias, _, reason = version.tags[DECISION_TAG].partition(": ")
            return Registration(number, alias, reason)
        alias, reason = _give_alias(version)
        store.set_model_version_tag(REGISTERED_NAME, str(number), DECISION_TAG, f"{alias}: {reason}")
    return Registration(number, alias, reason)


def _give_alias(version: ModelVersion) -> tuple[str, str]:
    """Gives a new version its alias; returns the alias and the reason for it."""
    number, champion = int(version.version), find_version(CHAMPION)
    if reason := reason_against(version, champion):
        return NO_ALIAS, reason
    if champion is None or champion.version == version.version:
        make_champion(version, None)
        return CHAMPION, "there was no champion"
    if is_drawn(champion.tags) and not is_drawn(version.tags):
        make_champion(version, champion)
        return CHAMPION, (
            f"the first trained on real faces; version {champion.version} was trained on drawn ones"
        )
    reason = f"fer-mlops promote --version {number} takes it through the gate"
    return CHALLENGER if make_challenger(number) else NO_ALIAS, reason


def describe(version: int, text: str) -> None:
    """Stores a version's model card, Markdown of at most 5,000 characters, as its description."""
    client().update_model_version(REGISTERED_NAME, str(version), description=text)


def _make_version(model_id: str, tags: Mapping[str, str]) -> ModelVersion:
    """Makes a version of a logged model, as ``mlflow.register_model`` does but without its messages."""
    store = client()
    made = store.create_model_version(
        REGISTERED_NAME, f"models:/{model_id}", tags=dict(tags), model_id=model_id
    )
    link = json.dumps([{"name": REGISTERED_NAME, "version": made.version}])
    store.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: link})
    return made


def _version_before(model_id: str) -> ModelVersion | None:
    """Returns the version that was registered from this model, or None."""
    wanted = f"name = '{REGISTERED_NAME}' AND source_path = 'models:/{model_id}'"
    return next(iter(client().search_model_versions(wanted)), None)
