"""Moving the aliases: forward, back, and what must not be deleted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fer_mlops.errors import ModelError
from fer_mlops.tracking.alias_lock import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    REGISTERED_NAME,
    alias_lock,
    aliases_of,
    all_aliases,
    find_version,
    make_challenger,
)
from fer_mlops.tracking.registry import DECISION_TAG


def move_champion(version: int, expected: int | None, record: Callable[[], None] = lambda: None) -> None:
    """Makes a version champion, and the old champion ``previous``; at no moment is there none.

    Args:
        version: The new champion.
        expected: The champion that it was compared with, None for none.
        record: Called when nothing but the move is left, to write down why.

    Raises:
        ModelError: Another one became champion meanwhile.
    """
    client = MlflowClient()
    with alias_lock():
        champion = find_version(CHAMPION)
        current = int(champion.version) if champion else None
        if current != expected:
            now, then = (f"version {number}" if number else "nobody" for number in (current, expected))
            raise ModelError(
                f"{now} became champion while this was decided against {then}; look at 'fer-mlops "
                "registry list', then decide again"
            )
        if current == version:
            return
        record()
        if current is not None:
            client.set_registered_model_alias(REGISTERED_NAME, PREVIOUS, str(current))
        client.set_registered_model_alias(REGISTERED_NAME, CHAMPION, str(version))
        with suppress(MlflowException):  # the champion has moved; an alias too many does no harm
            for alias in {CHALLENGER, PREVIOUS} & set(aliases_of(version)):
                client.delete_registered_model_alias(REGISTERED_NAME, alias)


def keep_out(version: int, *, is_sound: bool) -> bool:
    """Returns whether a version that the gate kept out is challenger now.

    Args:
        version: It.
        is_sound: Whether it loads and answers as stored; one that does not loses the alias.
    """
    with alias_lock():
        if is_sound:
            return make_challenger(version)
        if CHALLENGER in aliases_of(version):
            MlflowClient().delete_registered_model_alias(REGISTERED_NAME, CHALLENGER)
        return False


def roll_back() -> tuple[int, int]:
    """Makes the previous champion champion again and returns (version now, version before).

    Rolled back twice, the later champion is back: the two change places.

    Raises:
        ModelError: There is no previous champion, or another one became champion meanwhile.
    """
    aliases = all_aliases()
    before, now = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    if before is None or now is None or now == before:
        raise ModelError(
            f"{REGISTERED_NAME} has no previous champion to go back to; 'fer-mlops registry list' shows "
            "what there is, 'fer-mlops promote --version N' takes any of them through the gate"
        )
    decision = f"{CHAMPION}: rolled back to from version {before}"

    def record() -> None:
        MlflowClient().set_model_version_tag(REGISTERED_NAME, str(now), DECISION_TAG, decision)

    move_champion(now, before, record)
    return now, before


def delete_version(version: int) -> None:
    """Deletes a version that nobody loads by alias.

    Raises:
        ModelError: There is none, or it has an alias.
    """
    client = MlflowClient()
    try:
        client.get_model_version(REGISTERED_NAME, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ModelError(f"{REGISTERED_NAME} has no version {version}") from error
    with alias_lock():
        aliases = aliases_of(version)
        if aliases:
            raise ModelError(
                f"version {version} of {REGISTERED_NAME} is {' and '.join(aliases)}, which is loaded by "
                "that name; promote another one first"
            )
        client.delete_model_version(REGISTERED_NAME, str(version))
