"""Alias changes: promotion, rollback and deletion of registered versions."""

from __future__ import annotations

from collections.abc import Callable

from fer_mlops import REGISTERED_NAME
from fer_mlops.errors import ModelError
from fer_mlops.tracking.alias_lock import (
    alias_lock,
    aliases_of,
    all_aliases,
    find_version,
    get_version,
    make_challenger,
    make_champion,
)
from fer_mlops.tracking.connection import client, our_errors
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, DECISION_TAG, PREVIOUS, is_drawn

# longest tag or description of a version that MLflow's servers accept, in characters
_MOST_LETTERS = 5000


def move_champion(version: int, expected: int | None, record: Callable[[], None] = lambda: None) -> None:
    """Makes a version champion and the old champion ``previous``; there is a champion at every moment.

    Args:
        version: New champion.
        expected: Champion that the version was compared with; None if there was none.
        record: Called just before the aliases move, to record the reason.

    Raises:
        ModelError: Another version became champion in the meantime.
        TrackingError: MLflow refuses a change.
    """
    with our_errors(), alias_lock():
        champion = find_version(CHAMPION)
        current = int(champion.version) if champion else None
        if current != expected:
            now, then = (f"version {number}" if number else "nobody" for number in (current, expected))
            raise ModelError(
                f"{now} became champion while this was decided against {then}; check 'fer-mlops "
                "registry list', then decide again"
            )
        if current == version:
            return
        record()
        make_champion(get_version(version), champion)


def record_decision(version: int, decision: str, checks: str, run_id: str) -> None:
    """Records a decision of the promotion gate in a version's tags and at the end of its card.

    ``decision`` is the outcome and its reason, ``checks`` the checked rules as JSON, and ``run_id`` the
    run of the gate.

    Raises:
        TrackingError: MLflow refuses a change.
    """
    store, number = client(), str(version)
    with our_errors():
        for key, value in {DECISION_TAG: decision, "gate_run": run_id, "gate": checks}.items():
            store.set_model_version_tag(REGISTERED_NAME, number, key, value[:_MOST_LETTERS])
        card = store.get_model_version(REGISTERED_NAME, number).description or ""
        # replaces an earlier decision, and leaves room for this one
        before = card.partition("\n## Promotion\n")[0]
        added = f"\n## Promotion\n\n{decision} (run `{run_id}`).\n"
        text = before[: _MOST_LETTERS - len(added)] + added
        store.update_model_version(REGISTERED_NAME, number, description=text)


def keep_out(version: int, *, is_sound: bool) -> bool:
    """Updates the challenger alias of a version that the gate refused; returns whether it has the alias.

    A version loses it unless it ``is_sound``: it loads and reproduces its stored predictions.
    """
    with alias_lock():
        if is_sound:
            return make_challenger(version)
        if CHALLENGER in aliases_of(version):
            client().delete_registered_model_alias(REGISTERED_NAME, CHALLENGER)
        return False


def roll_back() -> tuple[int, int]:
    """Makes the previous champion champion again and returns (new champion, old champion).

    The two versions swap aliases, so a second rollback undoes the first.

    Raises:
        ModelError: There is no previous champion, or another version became champion in the meantime.
    """
    aliases = all_aliases()
    before, now = aliases.get(CHAMPION), aliases.get(PREVIOUS)
    if before is None or now is None or now == before:
        raise ModelError(
            f"{REGISTERED_NAME} has no previous champion to go back to; 'fer-mlops registry list' shows "
            "all versions, 'fer-mlops promote --version N' takes one through the gate"
        )
    if is_drawn(get_version(now).tags) and not is_drawn(get_version(before).tags):
        raise ModelError(
            f"the previous champion, version {now}, was trained on drawn faces, and version {before} on "
            "real ones; 'fer-mlops promote --version N' takes another version through the gate"
        )
    decision = f"{CHAMPION}: rolled back to from version {before}"

    def record() -> None:
        client().set_model_version_tag(REGISTERED_NAME, str(now), DECISION_TAG, decision)

    move_champion(now, before, record)
    return now, before


def delete_version(version: int) -> None:
    """Deletes a version that has no alias.

    Raises:
        ModelError: The version does not exist, or has an alias.
    """
    get_version(version)
    with alias_lock():
        aliases = aliases_of(version)
        if aliases:
            raise ModelError(
                f"version {version} of {REGISTERED_NAME} is {' and '.join(aliases)}, and may be loaded "
                "by that alias; promote another version first"
            )
        client().delete_model_version(REGISTERED_NAME, str(version))
