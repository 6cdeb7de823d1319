"""Moving the aliases: forward, back, and what must not be deleted."""

from __future__ import annotations

import os
import shlex
import subprocess

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fer_mlops.errors import ModelError
from fer_mlops.registry import (
    CHALLENGER,
    CHAMPION,
    PREVIOUS,
    REGISTERED_NAME,
    aliases_of,
    find_version,
)


def move_champion(version: int, expected: int | None) -> None:
    """Makes a version champion, and the old champion ``previous``; at no moment is there none.

    Args:
        version: The new champion.
        expected: The champion that it was compared with, None for none.

    Raises:
        ModelError: Another one became champion meanwhile.
    """
    client = MlflowClient()
    champion = find_version(CHAMPION)
    current = int(champion.version) if champion else None
    if current != expected:
        was = f"version {expected}" if expected else "nobody"
        raise ModelError(
            f"version {current} became champion while this was decided against {was}; promote again"
        )
    if current == version:
        return
    if current is not None:
        client.set_registered_model_alias(REGISTERED_NAME, PREVIOUS, str(current))
    client.set_registered_model_alias(REGISTERED_NAME, CHAMPION, str(version))
    for alias in {CHALLENGER, PREVIOUS} & set(aliases_of(version)):
        client.delete_registered_model_alias(REGISTERED_NAME, alias)


def roll_back() -> tuple[int, int]:
    """Makes the previous champion champion again and returns (version now, version before).

    Rolled back twice, the later champion is back: the two change places.

    Raises:
        ModelError: There is no previous champion.
    """
    champion, previous = find_version(CHAMPION), find_version(PREVIOUS)
    if champion is None or previous is None:
        raise ModelError(
            f"{REGISTERED_NAME} has no previous champion to go back to; 'fer-mlops registry list' shows "
            "what there is, 'fer-mlops promote --version N' takes any of them through the gate"
        )
    now, before = int(previous.version), int(champion.version)
    move_champion(now, before)
    decision = f"{CHAMPION}: rolled back to from version {before}"
    MlflowClient().set_model_version_tag(REGISTERED_NAME, str(now), "decision", decision)
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
        raise ModelError(f"{REGISTERED_NAME} has no version {version}") from error
    aliases = aliases_of(version)
    if aliases:
        raise ModelError(
            f"version {version} of {REGISTERED_NAME} is {' and '.join(aliases)}, which is loaded by "
            "that name; promote another one first"
        )
    client.delete_model_version(REGISTERED_NAME, str(version))


def run_hook(command: str, version: int, before: int | None) -> None:
    """Runs a command after a change of champion, told of it in FER_CHAMPION and FER_PREVIOUS.

    Raises:
        ModelError: It cannot be run or fails; the champion stays changed.
    """
    told = {"FER_MODEL": f"models:/{REGISTERED_NAME}@{CHAMPION}", "FER_CHAMPION": str(version)}
    told["FER_PREVIOUS"] = str(before or "")
    try:
        subprocess.run(shlex.split(command), env={**os.environ, **told}, check=True)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise ModelError(
            f"version {version} is champion, but the command {command!r} after it failed: {error}"
        ) from error
