"""The database of a study: opened, waited for, and asked who may do what."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from fer_mlops.errors import ConfigError, TrackingError
from fer_mlops.tuning import locks
from fer_mlops.tuning.locks import StudyLocks, is_gone, this_process
from fer_mlops.tuning.storage import PatientStorage, open_storage, read_url, shown_url
from fer_mlops.tuning.study import WORKER, StaleTrials

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture
def database(tmp_path: Path, empty_study: Path) -> Path:
    return Path(shutil.copy(empty_study, tmp_path / "optuna.db"))


def _open(path: Path, *, grace: int = 60, patience: float = 20.0) -> PatientStorage:
    return open_storage(f"sqlite:///{path}", heartbeat=20, grace=grace, patience=patience)


# ── opening ──


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("optuna.db", "--storage is not a database URL; use sqlite:///optuna.db or postgresql://"),
        ("postgresql://u:hidden@h:port/db", "--storage is not a database URL"),
        ("sqlite://", "--storage needs a file"),
        ("sqlite:///:memory:", "--storage needs a file"),
        ("oracle://u:hidden@h/db", "storage oracle://u:***@h/db needs its Python driver"),
        ("nonsense://u:hidden@h/db", "storage nonsense://u:***@h/db needs its Python driver"),
    ],
)
def test_an_address_that_is_none_is_one_sentence_without_the_password(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage(url, heartbeat=20, grace=60, patience=1)
    assert str(caught.value).startswith(message)
    assert "hidden" not in str(caught.value)


def test_a_database_that_is_not_there_is_one_sentence_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(
        TrackingError, match=r"^the study storage at sqlite:////no/where.db cannot be opened"
    ):
        _open(Path("/no/where.db"), patience=600)
    url = "postgresql://me:hidden@127.0.0.1:9/db"
    with pytest.raises(TrackingError) as caught:
        open_storage(url, heartbeat=20, grace=60, patience=600)
    assert str(caught.value).startswith("the study storage at postgresql://me:***@127.0.0.1:9/db cannot")
    assert "hidden" not in repr(caught.value) + repr(caught.value.__cause__)
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("times", [1, 9])
def test_tables_that_another_process_is_making_are_waited_for(
    times: int, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init, tries = PatientStorage.__init__, 0

    def late(self: PatientStorage, *words: Any, **options: Any) -> None:
        nonlocal tries
        tries += 1
        if tries <= times:
            said = "table alembic_version already exists"
            raise OperationalError("CREATE TABLE alembic_version", {}, Exception(said))
        init(self, *words, **options)

    monkeypatch.setattr(PatientStorage, "__init__", late)
    monkeypatch.setattr("fer_mlops.tuning.storage.time.sleep", lambda _: None)
    if times == 1:
        assert _open(database).get_all_studies() == []
    else:
        with pytest.raises(TrackingError, match=r"cannot be opened: .*alembic_version already"):
            _open(database)


def test_no_password_is_shown_wherever_it_stands() -> None:
    url = read_url("postgresql://me:hidden@h/db?password=hidden&sslmode=require")
    assert shown_url(url) == "postgresql://me:***@h/db?password=%2A%2A%2A&sslmode=require"


def test_a_password_with_braces_reaches_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def create(url: str, **_: object) -> None:
        asked.append(str(url))
        raise ImportError

    monkeypatch.setattr("optuna.storages._rdb.storage.sqlalchemy.engine.create_engine", create)
    with pytest.raises(ImportError):
        PatientStorage(read_url("postgresql://me:a%7Bb%7D@h/db"), heartbeat=20, grace=60, patience=1)
    assert asked == ["postgresql://me:a%7Bb%7D@h/db"]


def test_mlflows_own_database_is_refused_by_its_name_and_by_its_tables(world: Path) -> None:
    for url in (
        mlflow.get_tracking_uri(),
        f"sqlite:///{world.parent}/{world.name}/../{world.name}/mlflow.db",
    ):
        with pytest.raises(ConfigError, match="needs a database of its own, not MLflow's"):
            open_storage(url, heartbeat=20, grace=60, patience=1)


# ── a storage that is away ──


def test_a_storage_that_comes_back_is_asked_again(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fer_mlops.tuning.storage._FIRST_PAUSE", 0.05)
    storage = _open(database)
    study = optuna.create_study(storage=storage)
    away = database.with_suffix(".away")
    storage.engine.dispose()
    database.rename(away)
    database.mkdir()  # nothing that could be opened

    def come_back() -> None:
        database.rmdir()
        away.rename(database)

    threading.Timer(0.5, come_back).start()
    with caplog.at_level(logging.WARNING):
        trial = study.ask()
    assert trial.number == 0
    said = [record.message for record in caplog.records if "does not respond" in record.message]
    assert len(said) == 1
    assert said[0].startswith(f"the study storage at sqlite:///{database} does not respond; retrying (")


def test_a_storage_that_stays_away_is_one_sentence_after_its_patience(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.tuning.storage._FIRST_PAUSE", 0.05)
    storage = _open(database, patience=0.3)
    study = optuna.create_study(storage=storage)
    storage.engine.dispose()
    database.unlink()
    database.mkdir()
    with pytest.raises(
        TrackingError, match=r"has not responded for 0.005 minutes \(.*\); finished trials are"
    ):
        study.set_user_attr("a", 1)


def test_what_a_database_refuses_is_not_asked_again(database: Path) -> None:
    storage = _open(database)
    calls = 0

    def ask() -> None:
        nonlocal calls
        calls += 1
        raise optuna.exceptions.DuplicatedStudyError

    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.ask(ask)
    assert calls == 1


def test_nobody_counts_as_dead_while_the_storage_was_away(database: Path) -> None:
    storage = _open(database, grace=1)
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    storage.record_heartbeat(trial._trial_id)
    _age(database, "trial_heartbeats", "heartbeat")
    assert storage._get_stale_trial_ids(study._study_id) == [trial._trial_id]
    storage._away_at = time.monotonic()
    assert storage._get_stale_trial_ids(study._study_id) == []


def _age(database: Path, table: str, column: str) -> None:
    """Makes signs of life an hour old."""
    with sqlite3.connect(database) as connection:
        connection.execute(f"UPDATE {table} SET {column} = datetime('now', '-1 hour')")


# ── claims ──


def test_a_claim_has_one_owner_until_it_is_dropped(database: Path) -> None:
    storage = _open(database)
    one, two = (StudyLocks(storage, "s", f"m:{os.getpid()}:{name}") for name in ("one", "two"))
    other_study = StudyLocks(storage, "t", f"m:{os.getpid()}:two")
    assert one.take("winner")
    assert one.take("winner")
    assert not two.take("winner")
    assert other_study.take("winner")
    assert two.owner_of("winner") == one.owner
    two.drop("winner")  # not two's to drop
    assert not two.take("winner")
    one.drop("winner")
    assert two.take("winner")


def test_of_many_processes_one_gets_the_claim(database: Path) -> None:
    storage = _open(database)
    names = [f"m:{os.getpid()}:{number}" for number in range(8)]
    everybody = [StudyLocks(storage, "s", name) for name in names]
    taken: list[str] = []
    progress = threading.Barrier(len(everybody))

    def take(claims: StudyLocks) -> None:
        progress.wait()
        if claims.take("winner"):
            taken.append(claims.owner)

    threads = [threading.Thread(target=take, args=(claims,)) for claims in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_the_claim_of_an_owner_that_shows_no_life_can_be_taken(database: Path) -> None:
    storage = _open(database, grace=60)
    one, two = (StudyLocks(storage, "s", f"m:{os.getpid()}:{name}") for name in ("one", "two"))
    assert one.take("winner")
    _age(database, "fer_mlops_claims", "beat")
    storage._away_at = time.monotonic()
    assert not two.take("winner")  # the storage was away: nobody could show life
    storage._away_at = float("-inf")
    assert two.owner_of("winner") is None
    assert two.take("winner")
    assert not one.take("winner")


def test_a_process_of_this_machine_that_is_gone_is_known_to_be(database: Path) -> None:
    assert not is_gone(this_process())
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(0,))
    process.start()
    process.join()
    *_, place = this_process().split(":")
    gone = f"m:{process.pid}:{place}"
    assert is_gone(gone)
    assert not is_gone(f"m:{process.pid}:other")  # another machine's processes cannot be looked up
    storage = _open(database)
    assert StudyLocks(storage, "s", gone).take("winner")
    assert StudyLocks(storage, "s").take("winner")


def test_who_is_here_is_seen_by_the_others_until_they_leave(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = _open(database)
    one, two = (StudyLocks(storage, "s", f"m:{os.getpid()}:{name}") for name in ("one", "two"))
    monkeypatch.setattr(storage, "heartbeat", 0.05)
    with one.present():
        assert two.others() == [one.owner]
        assert one.others() == []
        one.take("winner")
        _age(database, "fer_mlops_claims", "beat")
        deadline = time.monotonic() + 10
        while not two.others() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert two.others() == [one.owner]  # it has shown life again
    assert two.others() == []
    assert two.take("winner")


# ── trials of the dead ──


def test_a_machine_of_the_same_host_name_is_another_place(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _, place = this_process().split(":")
    process = f"{host}:{2**22 + 1}:{place}"  # a number that no process of this machine has
    assert is_gone(process)
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("00000000-0000-0000-0000-000000000000\n")
    monkeypatch.setattr(locks, "_BOOT_ID", boot_id)  # as on a clone, or after a restart
    assert this_process().split(":")[2] != place
    assert not is_gone(process)
    storage = _open(database, grace=1)
    assert StudyLocks(storage, "s", process).take("winner")
    assert not StudyLocks(storage, "s").take("winner")
    time.sleep(2.1)
    assert StudyLocks(storage, "s").take("winner")  # which its silence ends


def test_a_system_without_a_boot_id_knows_its_own_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_BOOT_ID", tmp_path / "none")
    host, _, place = this_process().split(":")
    assert is_gone(f"{host}:{2**22 + 1}:{place}")
    assert not is_gone(this_process())


def test_a_trial_of_a_process_that_is_gone_is_queued_again_twice_and_then_no_more(
    database: Path,
) -> None:
    study = optuna.create_study(storage=_open(database))
    *_, place = this_process().split(":")
    stale_trials = StaleTrials(study, grace=60)
    for number in range(3):
        trial = study.ask()
        value = trial.suggest_float("x", 0, 1)
        trial.set_user_attr(WORKER, f"m:{2**22 + 1}:{place}")
        trial.set_user_attr("run", "abc")
        stale_trials.sweep()
        assert study.trials[number].state == TrialState.FAIL
        if number < 2:
            again = study.trials[number + 1]
            assert (again.state, again.params, again.user_attrs["run"]) == (
                TrialState.WAITING,
                {"x": value},
                "abc",
            )
    assert len(study.trials) == 3


def test_a_trial_that_nobody_put_a_name_to_is_given_up_after_the_grace(database: Path) -> None:
    study = optuna.create_study(storage=_open(database))
    study.ask()
    stale_trials = StaleTrials(study, grace=0.2)
    stale_trials.sweep()
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
    time.sleep(0.3)
    stale_trials.sweep()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL, TrialState.WAITING]


def test_the_trial_of_a_living_worker_is_left_alone(database: Path) -> None:
    study = optuna.create_study(storage=_open(database))
    study.ask().set_user_attr(WORKER, this_process())
    StaleTrials(study, grace=0).sweep()
    assert [trial.state for trial in study.trials] == [TrialState.RUNNING]
