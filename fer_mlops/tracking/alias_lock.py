"""Aliases of the registered model ``fer-classifier``, and the lock that guards changes to them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from fer_mlops import REGISTERED_NAME
from fer_mlops.errors import ModelError
from fer_mlops.tracking.connection import MISSING, client
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, PREVIOUS, is_drawn

_DESCRIPTION = f"""Facial-expression classifiers, trained by fer_mlops.

- **Input**: images of one face each, as files or bytes. **Output**: seven calibrated probabilities.
- **Load**: `fer_mlops.load("models:/{REGISTERED_NAME}@champion")`, `fer-mlops predict FILES`, or
  `mlflow.pyfunc.load_model`.
- **champion**: the version that programs load by default. `fer-mlops promote` gives the alias to a
  version that passes the gate. The alias **previous** is the champion before it, for
  `fer-mlops rollback`; **challenger** is the newest version that waits for the gate.
"""
FLAW_TAG = "flaw"
"""Version tag: reason found on the validation faces for which the version gets no alias."""
# prefix of the registered model's lock tags, one for each process that holds or wants the lock
_LOCK = "fer_mlops.lock."
# seconds between two reads of the lock tags, and seconds after which an abandoned tag is removed
_LOCK_POLL, _LOCK_LOST = 0.1, 60.0


def make_registered_model() -> None:
    """Creates the registered model unless it exists; adds its description if it has none."""
    store = client()
    try:
        store.create_registered_model(REGISTERED_NAME, description=_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if not store.get_registered_model(REGISTERED_NAME).description:
            store.update_registered_model(REGISTERED_NAME, _DESCRIPTION)


def reason_against(version: ModelVersion, champion: ModelVersion | None) -> str:
    """Returns the reason why a version may have no alias, whatever its scores; empty if it may."""
    if FLAW_TAG in version.tags:
        return str(version.tags[FLAW_TAG])
    if champion is not None and is_drawn(version.tags) and not is_drawn(champion.tags):
        return f"trained on drawn faces; the champion, version {champion.version}, on real ones"
    return ""


def find_version(alias: str) -> ModelVersion | None:
    """Returns the version that has the alias, or None."""
    try:
        return client().get_model_version_by_alias(REGISTERED_NAME, alias)
    except MlflowException as error:
        if error.error_code in (MISSING, "INVALID_PARAMETER_VALUE"):  # the latter: no such alias
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
            found = client().search_model_versions(f"name = '{REGISTERED_NAME}'")
            known = ", ".join(map(str, sorted(int(version.version) for version in found)))
            raise ModelError(
                f"{REGISTERED_NAME} has no version {number}; it has: {known or 'none'}"
            ) from error
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
    """Makes the version challenger, unless it is champion or a newer version is; returns whether it is.

    The caller must hold ``alias_lock``.
    """
    aliases = all_aliases()
    if version == aliases.get(CHAMPION) or version < aliases.get(CHALLENGER, version):
        return False
    client().set_registered_model_alias(REGISTERED_NAME, CHALLENGER, str(version))
    return True


def make_champion(version: ModelVersion, old: ModelVersion | None) -> None:
    """Makes the version champion and ``old`` previous; there is a champion at every moment.

    The caller must hold ``alias_lock``.
    """
    store = client()
    # versions of drawn faces lose their aliases to the first champion of real faces
    is_first_real = old is not None and is_drawn(old.tags) and not is_drawn(version.tags)
    if old is not None and not is_first_real:
        store.set_registered_model_alias(REGISTERED_NAME, PREVIOUS, str(old.version))
    store.set_registered_model_alias(REGISTERED_NAME, CHAMPION, str(version.version))
    with suppress(MlflowException):  # the champion has moved; a leftover alias does no harm
        for alias in (CHALLENGER, PREVIOUS):
            other = find_version(alias)
            is_leftover = other is not None and other.version == version.version
            if other is not None and (is_leftover or (is_first_real and is_drawn(other.tags))):
                store.delete_registered_model_alias(REGISTERED_NAME, alias)


@contextmanager
def alias_lock() -> Iterator[None]:
    """Holds a lock that keeps other processes, on any machine, from changing aliases; waits for it.

    Raises:
        MlflowException: There is no registered model, or MLflow does not respond.
    """
    # MLflow has no lock and no compare-and-set, so each process writes its own tag to the registered
    # model and then reads the other tags. The process that writes second always sees the first one's
    # tag; a process holds the lock once its tag is written and it sees no other.
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
            # the smaller name stays, so of two processes that see each other exactly one withdraws
            if is_written and min(since) < own:
                store.delete_registered_model_tag(REGISTERED_NAME, own)
                is_written = False
            for key, seen in since.items():
                if now - seen > _LOCK_LOST:  # its process was killed
                    store.delete_registered_model_tag(REGISTERED_NAME, key)
            time.sleep(_LOCK_POLL)
        yield
    finally:
        if is_written:
            with suppress(MlflowException):  # the aliases have changed; others wait a minute
                store.delete_registered_model_tag(REGISTERED_NAME, own)
