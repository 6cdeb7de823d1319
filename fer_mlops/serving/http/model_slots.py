"""Model slots: the served versions, kept in line with the registry's aliases.

A new version is loaded beside the old one and replaces it in one assignment. Requests finish with the
version they started with. A version that cannot be loaded changes nothing.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from concurrent.futures import Executor

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fer_mlops.errors import FerError, ModelError, TrackingError
from fer_mlops.serving.http.batching import Batcher
from fer_mlops.serving.http.loaded_model import Card, LoadedModel, card_of
from fer_mlops.serving.http.metrics import Counts
from fer_mlops.serving.http.settings import AUTO, NONE, ServeSettings
from fer_mlops.tracking.connection import check_server, reason_of, shown_uri
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, ModelUri
from fer_mlops.tracking.registry import load_classifier, version_named

_AGAIN = 60.0  # seconds until a version that failed to load is tried again

log = logging.getLogger("fer_mlops.serving.http")


class ModelSlots:
    """Loaded models by slot; ``refresh`` updates them from the registry."""

    def __init__(self, settings: ServeSettings, executor: Executor, counts: Counts) -> None:
        self.settings = settings
        self.executor = executor
        self.counts = counts
        self.filled: dict[str, LoadedModel] = {}
        self.names = {CHAMPION: settings.model}
        if settings.challenger != NONE:
            self.names[CHALLENGER] = _challenger_of(settings)
        self._failed: dict[str, float] = {}
        self._was_reachable = True

    def load(self) -> None:
        """Fills the slots for the first time.

        Raises:
            TrackingError: The registry does not respond.
            ModelError: There is no such model and ``wait_for_model`` is off, or it cannot be loaded.
        """
        for slot, name in self.names.items():
            if not name:
                continue
            is_optional = slot == CHALLENGER and self.settings.challenger == AUTO
            wanted = self._wanted(name)
            if wanted is None and not is_optional and not self.settings.wait_for_model:
                raise ModelError(_none_yet(name))
            if wanted is not None:
                try:
                    self._fill(slot, wanted)
                except FerError as error:
                    if not is_optional:
                        raise
                    self._fail(slot, wanted, error)

    def refresh(self) -> None:
        """Updates the slots from the registry; errors are logged and counted, never raised."""
        try:
            for slot, name in self.names.items():
                if ModelUri.parse(name).alias:  # a version or a run always means the same model
                    self._follow(slot, self._wanted(name))
        except Exception as error:  # a registry may fail in any way; serving continues
            self._set_reachable(error)
        else:
            self._set_reachable(None)

    def _follow(self, slot: str, wanted: Card | None) -> None:
        if wanted is None:
            if slot == CHALLENGER and slot in self.filled:
                del self.filled[slot]
                log.info("slot=%s event=emptied name=%s", slot, self.names[slot])
                self.counts.show_models(self.filled)
            return
        if time.monotonic() < self._failed.get(wanted.name, 0.0):
            return
        try:
            self._fill(slot, wanted)
        except Exception as error:  # keep the old model, whatever fails in the new one
            self._fail(slot, wanted, error)

    def _fill(self, slot: str, wanted: Card) -> None:
        """Puts the wanted version into the slot; reuses it if another slot has loaded it."""
        now = self.filled.get(slot)
        if now and now.card == wanted:  # an equal name is not enough: aliases and tags are shown
            return
        loaded = [model for model in self.filled.values() if model.card.name == wanted.name]
        served = dataclasses.replace(loaded[0], card=wanted) if loaded else self._load(wanted)
        self.filled[slot] = served
        self._failed.pop(wanted.name, None)
        self.counts.show_models(self.filled)
        if not now or now.card.name != wanted.name:
            self.counts.switches.labels(slot, "done").inc()
            log.info("slot=%s event=filled name=%s", slot, wanted.name)

    def _load(self, card: Card) -> LoadedModel:
        classifier = load_classifier(card.name)
        batcher = Batcher(
            classifier.scorer.logits,
            self.executor,
            max_batch=self.settings.max_batch,
            max_wait=self.settings.max_wait_ms / 1000,
            observe=self.counts.batch.observe,
        )
        served = LoadedModel(card=card, classifier=classifier, batcher=batcher)
        served.warm_up(self.settings.max_batch)
        return served

    def _fail(self, slot: str, wanted: Card, error: Exception) -> None:
        self._failed[wanted.name] = time.monotonic() + _AGAIN
        self.counts.switches.labels(slot, "failed").inc()
        log.error("slot=%s event=refused name=%s reason=%r", slot, wanted.name, str(error)[:300])

    def _wanted(self, name: str) -> Card | None:
        """Returns the card of the version that ``name`` means now, or None if there is none."""
        wanted = ModelUri.parse(name)
        if not wanted.is_stored:
            return Card(name=name)
        check_server()  # fails within seconds; a query of MLflow would wait and retry
        if not wanted.is_registered:
            return Card(name=name)
        version = _find(wanted)
        return card_of(version) if version else None

    def _set_reachable(self, error: Exception | None) -> None:
        """Logs once when the registry stops responding, and once when it responds again."""
        self.counts.reachable.set(error is None)
        if (error is None) == self._was_reachable:
            return
        self._was_reachable = error is None
        if error is None:
            log.info("registry=%s event=answers", shown_uri())
        else:
            reason = f"{type(error).__name__}: {reason_of(error)[:300]}"
            log.warning("registry=%s event=silent reason=%r", shown_uri(), reason)


def _challenger_of(settings: ServeSettings) -> str:
    """Returns the name of the challenger; empty if the model has no alias to take it from."""
    if settings.challenger != AUTO:
        return settings.challenger
    main = ModelUri.parse(settings.model)
    return f"models:/{main.model}@{CHALLENGER}" if main.alias not in ("", CHALLENGER) else ""


def _find(name: ModelUri) -> ModelVersion | None:
    try:
        return version_named(name)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise TrackingError(f"MLflow at {shown_uri()}: {reason_of(error)}") from error


def _none_yet(name: str) -> str:
    return (
        f"there is no model {name!r} at {shown_uri()}; train one with 'fer-mlops cnn --preset fast', "
        "name another with --model, or wait for it with --wait"
    )
