"""Aliases of the registered model ``fer-classifier``, and the lock that guards changes to them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fer_mlops.errors import ModelError
from fer_mlops.tracking.connection import MISSING, client

REGISTERED_NAME = "fer-classifier"
CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
_LOCK = "fer_mlops.lock."
"""Prefix of the registered model's lock tags, one for each process that holds or wants the lock."""
_LOCK_POLL, _LOCK_LOST = 0.1, 60.0
"""Seconds between two reads of the lock tags, and seconds after which an abandoned tag is removed."""


def make_registered_model() -> None:
    """Creates the registered model unless it exists."""
    try:
        client().create_registered_model(REGISTERED_NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def find_version(alias: str) -> ModelVersion | None:
    """Returns the version that has the alias, or None."""
    try:
        return client().get_model_version_by_alias(REGISTERED_NAME, alias)
    except MlflowException as error:
        if error.error_code in (MISSING, "INVALID_PARAMETER_VALUE"):
            return None
        raise


def get_version(number: int | str) -> ModelVersion:
    """Returns the version with this number.

    Raises:
        ModelError: There is no such version.
    """
    try:
        return client().get_model_version(REGISTERED_NAME, str(number))
    except MlflowException as error:
        if error.error_code == MISSING:
            raise ModelError(f"{REGISTERED_NAME} has no version {number}") from error
        raise


def all_aliases() -> dict[str, int]:
    """Returns the version of each alias."""
    try:
        found = client().get_registered_model(REGISTERED_NAME).aliases
    except MlflowException as error:
        if error.error_code == MISSING:
            return {}
        raise
    return {alias: int(version) for alias, version in found.items()}


def aliases_of(version: int) -> list[str]:
    """Returns the aliases of a version, in alphabetical order."""
    return sorted(alias for alias, number in all_aliases().items() if number == version)


def make_challenger(version: int) -> bool:
    """Makes the version challenger, unless it is champion or a newer version is challenger.

    The caller must hold ``alias_lock``.

    Returns:
        Whether the version is challenger now.
    """
    aliases = all_aliases()
    if version == aliases.get(CHAMPION) or version < aliases.get(CHALLENGER, version):
        return False
    client().set_registered_model_alias(REGISTERED_NAME, CHALLENGER, str(version))
    return True


@contextmanager
def alias_lock() -> Iterator[None]:
    """Holds a lock that keeps other processes, on any machine, from changing aliases.

    Waits until the lock is free. MLflow has no lock and no compare-and-set, so each process writes its
    own tag to the registered model and then reads the other tags. The process that writes second always
    sees the first one's tag; a process holds the lock once its tag is written and it sees no other. If
    two processes see each other, the one with the larger tag name withdraws. A tag older than a minute
    belongs to a process that was killed, and is removed.

    Raises:
        MlflowException: There is no registered model, or MLflow does not respond.
    """
    store, own = client(), _LOCK + uuid.uuid4().hex
    is_written, since = False, dict[str, float]()
    try:
        while True:
            tags = store.get_registered_model(REGISTERED_NAME).tags
            now = time.monotonic()
            since = {key: since.get(key, now) for key in tags if key.startswith(_LOCK) and key != own}
            if is_written and not since:
                break
            if not since:
                is_written = True  # set first, as a call that fails may still have written the tag
                store.set_registered_model_tag(REGISTERED_NAME, own, "held")
                continue
            if is_written and min(since) < own:
                store.delete_registered_model_tag(REGISTERED_NAME, own)
                is_written = False
            for key, seen in since.items():
                if now - seen > _LOCK_LOST:
                    store.delete_registered_model_tag(REGISTERED_NAME, key)
            time.sleep(_LOCK_POLL)
        yield
    finally:
        if is_written:
            with suppress(MlflowException):  # the aliases have changed; others wait a minute
                store.delete_registered_model_tag(REGISTERED_NAME, own)
