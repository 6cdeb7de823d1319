"""Promotions, rollbacks and first registrations at once: one wins, the others are told so."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from tracking_server import Server

from fer_mlops import REGISTERED_NAME
from fer_mlops.errors import ModelError
from fer_mlops.tracking import alias_lock as aliases
from fer_mlops.tracking.alias_lock import alias_lock, all_aliases
from fer_mlops.tracking.aliases import delete_version, move_champion, roll_back
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION, DECISION_TAG, PREVIOUS
from fer_mlops.tracking.registration import Registration, register

ROUNDS = 4


def publish(number: int) -> None:
    """Makes versions 1 to ``number``, of nothing that can be loaded; the first is champion."""
    client = MlflowClient()
    client.create_registered_model(REGISTERED_NAME)
    run_id = client.create_run("0").info.run_id
    folder = client.get_run(run_id).info.artifact_uri
    for version in range(1, number + 1):
        client.create_model_version(REGISTERED_NAME, f"{folder}/{version}", run_id)
    client.set_registered_model_alias(REGISTERED_NAME, CHAMPION, "1")


def tags_left() -> dict[str, str]:
    return dict(MlflowClient().get_registered_model(REGISTERED_NAME).tags)


def at_once(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Returns what each task came to, or the error it ended with; they start together."""
    start = threading.Barrier(len(tasks), timeout=60)

    def ran(task: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return task()
        except (ModelError, MlflowException) as error:
            return error

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(ran, tasks))


def test_of_promotions_at_once_one_wins_and_the_others_are_told_so(world: Path) -> None:
    publish(4)
    for _ in range(ROUNDS):
        before = all_aliases()[CHAMPION]
        wanted = [version for version in range(1, 5) if version != before]
        told = at_once([partial(move_champion, version, before) for version in wanted])
        (winner,) = [version for version, error in zip(wanted, told, strict=True) if error is None]
        assert all_aliases() == {CHAMPION: winner, PREVIOUS: before}
        late = {str(error).partition(";")[0] for error in told if error}
        assert late == {
            f"version {winner} became champion while this was decided against version {before}"
        }
    assert tags_left() == {}


def test_of_two_promotions_of_one_version_one_wins(world: Path) -> None:
    publish(2)
    told = at_once([lambda: move_champion(2, 1)] * 2)
    assert sorted(error is None for error in told) == [False, True]
    assert all_aliases() == {CHAMPION: 2, PREVIOUS: 1}


def test_of_two_rollbacks_at_once_one_goes_back_and_the_other_does_not_undo_it(world: Path) -> None:
    publish(2)
    move_champion(2, expected=1)
    told = at_once([roll_back] * 2)
    assert (1, 2) in told
    assert all_aliases() == {CHAMPION: 1, PREVIOUS: 2}
    assert [str(error).partition(";")[0] for error in told if isinstance(error, ModelError)] == [
        "version 1 became champion while this was decided against version 2"
    ]


def test_a_version_that_is_deleted_while_it_is_promoted_leaves_a_champion(world: Path) -> None:
    publish(2)
    at_once([lambda: move_champion(2, 1), lambda: delete_version(2)])
    champion = all_aliases()[CHAMPION]
    assert MlflowClient().get_model_version(REGISTERED_NAME, str(champion))


def test_of_first_registrations_at_once_one_is_champion_and_the_newest_other_challenger(
    world: Path,
) -> None:
    client = MlflowClient()
    models = [client.create_logged_model("0", name="classifier") for _ in range(4)]
    for model in models:
        client.finalize_logged_model(model.model_id, "READY")
    told: list[Registration] = at_once([partial(register, model.model_id, {}) for model in models])
    assert {one.version for one in told} == {1, 2, 3, 4}
    (champion,) = [one.version for one in told if one.alias == CHAMPION]
    assert all_aliases() == {CHAMPION: champion, CHALLENGER: max({1, 2, 3, 4} - {champion})}
    for one in told:
        decision = client.get_model_version(REGISTERED_NAME, str(one.version)).tags[DECISION_TAG]
        assert decision == f"{one.alias}: {one.reason}"
    assert tags_left() == {}


def test_whoever_was_killed_with_the_lock_is_waited_for_and_then_passed(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(2)
    MlflowClient().set_registered_model_tag(REGISTERED_NAME, "fer_mlops.lock.0", "held")
    monkeypatch.setattr(aliases, "_LOCK_LOST", 0.5)
    move_champion(2, expected=1)
    assert all_aliases() == {CHAMPION: 2, PREVIOUS: 1}
    assert tags_left() == {}


def test_a_lock_is_freed_by_what_ends_its_owner(world: Path) -> None:
    publish(1)

    def interrupted() -> None:
        with alias_lock():
            assert len(tags_left()) == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert tags_left() == {}


def _rounds(uris: Sequence[str], place: int, barrier: Barrier, told: Any) -> None:
    """Promotes another version than the other process does, in each round, against the same champion."""
    for uri in uris:
        mlflow.set_tracking_uri(uri)
        for _ in range(ROUNDS):
            before = all_aliases()[CHAMPION]
            wanted = (before + place) % 3 + 1
            barrier.wait()
            try:
                move_champion(wanted, before)
                has_won = True
            except ModelError:
                has_won = False
            barrier.wait()
            told.put((has_won, wanted, before, all_aliases()))


@pytest.mark.long
def test_of_two_processes_that_promote_at_once_one_wins_in_a_file_and_at_a_server(world: Path) -> None:
    publish(3)
    server = Server(world)
    server.start()
    try:
        server.wait()
        uris = [mlflow.get_tracking_uri(), server.uri]
        context = multiprocessing.get_context("spawn")
        barrier, told = context.Barrier(2), context.Queue()
        processes = [
            context.Process(target=_rounds, args=(uris, place, barrier, told)) for place in range(2)
        ]
        for process in processes:
            process.start()
        answers = [told.get(timeout=200) for _ in range(2 * 2 * ROUNDS)]
        for process in processes:
            process.join()
    finally:
        server.stop()
    won = [answer for answer in answers if answer[0]]
    assert len(won) == len(answers) / 2
    for _, wanted, before, found in won:
        assert found == {CHAMPION: wanted, PREVIOUS: before}
    assert tags_left() == {}
