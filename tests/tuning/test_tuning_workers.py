"""Workers as processes: they divide the trials, and one that is killed loses nothing."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import optuna
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from optuna.trial import FrozenTrial, TrialState
from postgres import BIN, PASSWORD, postgres
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from sweeps import plan_of, runs_named, sweep, untrained

from fer_mlops.errors import TrackingError
from fer_mlops.tuning import trial_fit as fits_room
from fer_mlops.tuning import workers as workers_room
from fer_mlops.tuning.storage import open_storage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]
needs_postgres = pytest.mark.skipif(BIN is None, reason="PostgreSQL is not installed")
RECIPE = """
family: cnn
cnn: {image_size: 32, widths: [8, 16], depths: [1, 1], hidden: 16}
training: {epochs: 12, learning_rate: 0.01, keep_weights: last}
tracking: {system_metrics: false, images_every: 0}
"""
SPACE = """
family: cnn
space:
  training.learning_rate: {low: 0.001, high: 0.02, log: true}
  cnn.dropout: {low: 0.0, high: 0.4}
"""


def start(world: Path, faces: Path, storage: str, *words: str) -> subprocess.Popen[str]:
    """Starts ``fer-mlops tune``, showing signs of life every second."""
    (world / "recipe.yaml").write_text(RECIPE)
    (world / "space.yaml").write_text(SPACE)
    command = [sys.executable, "-m", "fer_mlops", "tune", "cnn", "--data", str(faces), "--study", "s"]
    command += ["--recipe", "recipe.yaml", "--space", "space.yaml", "--storage", storage]
    command += ["--set", "{tuning: {heartbeat: 1, pruner: none, finalists: 0}}", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return subprocess.Popen(
        command, cwd=world, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@functools.cache
def opened_storage(storage: str) -> optuna.storages.RDBStorage:
    """Opens it once: that takes longer than many a trial, and a look at a trial must not."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.storages.RDBStorage(storage, {"poolclass": NullPool}, skip_table_creation=True)


def trials_of(storage: str) -> list[FrozenTrial]:
    try:
        opened = opened_storage(storage)
    except (optuna.exceptions.OptunaError, SQLAlchemyError):
        return []  # its tables are not made yet
    try:
        return optuna.load_study(study_name="s", storage=opened).trials
    except KeyError:
        return []  # nor the study
    except optuna.exceptions.StorageInternalError:
        return []  # a process that was stopped in the middle of writing has the file
    finally:
        opened.remove_session()


def wait_for(
    storage: str, is_so: Callable[[FrozenTrial], bool], process: subprocess.Popen[str]
) -> FrozenTrial:
    """Returns the first trial of which ``is_so`` is true."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        for trial in trials_of(storage):
            if is_so(trial):
                return trial
        time.sleep(0.2)
    process.terminate()
    raise AssertionError(f"no such trial: {process.communicate()[0]}")


def is_under_way(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.RUNNING and 2 <= len(trial.intermediate_values) <= 8


def kill_in_the_middle(
    storage: str, process: subprocess.Popen[str], victim: Callable[[FrozenTrial], int]
) -> FrozenTrial:
    """Kills the process ``victim`` names while a trial is under way, and returns that trial."""
    while True:
        seen = wait_for(storage, is_under_way, process)
        pid = victim(seen)
        os.kill(pid, signal.SIGSTOP)  # or it might be finished before the signal arrives
        now = trials_of(storage)
        if now and is_under_way(now[seen.number]):
            os.kill(pid, signal.SIGKILL)
            return now[seen.number]
        os.kill(pid, signal.SIGCONT)


def worker_of(trial: FrozenTrial) -> int:
    return int(trial.user_attrs["worker"].split(":")[1])


def all_runs() -> list[Run]:
    found = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    return list(found)


def check_the_retried(storage: str, killed: FrozenTrial, epochs: int) -> None:
    """The trial of a killed worker was taken up again, in its own run, and no step is there twice."""
    trials = trials_of(storage)
    assert trials[killed.number].state == TrialState.FAIL
    (again,) = (t for t in trials if t.system_attrs.get("failed_trial") == killed.number)
    assert again.state == TrialState.COMPLETE
    assert again.params == killed.params
    assert again.user_attrs["run"] == killed.user_attrs["run"]
    run = MlflowClient().get_run(again.user_attrs["run"])
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "COMPLETE")
    history = MlflowClient().get_metric_history(run.info.run_id, "valid/macro_f1")
    assert [point.step for point in history] == list(range(1, epochs + 1))


@pytest.mark.long
@needs_postgres
def test_four_workers_on_postgresql_lose_nothing_when_one_is_killed(
    world: Path, faces_folder: Path
) -> None:
    with postgres() as server:
        # trials long enough for all four to get some
        words = ("--trials", "8", "--workers", "4", "--set", "training.epochs=40")
        process = start(world, faces_folder, server.url, *words)
        killed = kill_in_the_middle(server.url, process, worker_of)
        said, _ = process.communicate(timeout=280)
        assert process.returncode == 0, said
        check_the_retried(server.url, killed, 40)
        trials = trials_of(server.url)
    assert sum(trial.state == TrialState.COMPLETE for trial in trials) == 8
    assert len({worker_of(trial) for trial in trials}) == 4
    assert {run.info.status for run in all_runs()} == {"FINISHED"}
    assert len(runs_named("winner-")) == 1
    assert PASSWORD not in said
    assert "postgresql://optuna:***@" in runs_named("tune-s")[0].data.tags["storage"]


@pytest.mark.long
def test_who_was_killed_goes_on_by_the_same_command(world: Path, faces_folder: Path) -> None:
    storage = f"sqlite:///{world}/optuna.db"
    process = start(world, faces_folder, storage, "--trials", "2")
    killed = kill_in_the_middle(storage, process, lambda _: process.pid)
    process.communicate()
    assert "RUNNING" in {run.info.status for run in all_runs()}
    again = start(world, faces_folder, storage, "--trials", "2")
    said, _ = again.communicate(timeout=280)
    assert again.returncode == 0, said
    check_the_retried(storage, killed, 12)
    assert {run.info.status for run in all_runs()} == {"FINISHED"}
    assert len(runs_named("tune-s")) == 1


@pytest.mark.long
def test_ctrl_c_ends_the_workers_and_their_runs(world: Path, faces_folder: Path) -> None:
    storage = f"sqlite:///{world}/optuna.db"
    process = start(world, faces_folder, storage, "--trials", "9", "--workers", "2")
    running = wait_for(storage, is_under_way, process)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "run the same command again to continue the study" in said
    assert "Traceback" not in said
    assert "RUNNING" not in {run.info.status for run in all_runs()}
    assert runs_named("tune-s")[0].info.status == "KILLED"
    assert TrialState.RUNNING not in {trial.state for trial in trials_of(storage)}
    with pytest.raises(ProcessLookupError):
        os.kill(worker_of(running), 0)


@pytest.mark.long
@needs_postgres
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_ends_a_sweep_whose_storage_is_away_in_seconds_not_in_its_patience(
    workers: int, world: Path, faces_folder: Path
) -> None:
    with postgres() as server:
        words = ("--trials", "9", "--workers", str(workers), "--set", "training.epochs=60")
        process = start(world, faces_folder, server.url, *words)
        wait_for(server.url, is_under_way, process)
        server.stop()
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=90)  # tracking.wait_minutes is 10
        server.start()
    assert process.returncode == 130
    assert "run the same command again to continue the study" in said
    assert "Traceback" not in said
    assert said.count("does not answer") <= 1 + workers  # by each process once
    # a trial may have ended before the storage was stopped
    assert {run.info.status for run in all_runs()} <= {"KILLED", "FINISHED"}
    assert runs_named("tune-s")[0].info.status == "KILLED"


@needs_postgres
def test_a_postgresql_that_is_restarted_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer_mlops.tuning.storage._FIRST_PAUSE", 0.2)
    with postgres() as server:
        storage = open_storage(server.url, heartbeat=20, grace=60, patience=60)
        study = optuna.create_study(storage=storage, study_name="s")
        study.set_user_attr("before", 1)
        server.stop()
        threading.Timer(1.0, server.start).start()
        study.set_user_attr("after", 2)
        assert study.user_attrs == {"before": 1, "after": 2}
        storage.engine.dispose()


@needs_postgres
def test_a_postgresql_that_is_gone_for_good_is_one_sentence_and_finished_trials_are_safe(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fer_mlops.tuning.retrain.run_experiment", untrained)
    monkeypatch.setattr("fer_mlops.tuning.storage._FIRST_PAUSE", 0.2)
    real, count = fits_room.train_classifier, iter(range(9))
    with postgres() as server:

        def train_classifier(*words: Any, **options: Any) -> Any:
            if next(count) == 1:
                server.stop()
            return real(*words, **options)

        monkeypatch.setattr(fits_room, "train_classifier", train_classifier)
        changes = {"storage_url": server.url, "tracking__wait_minutes": 0.02}
        with pytest.raises(
            TrackingError, match=r"^the study storage at postgresql://optuna:\*\*\*@.*safe"
        ):
            sweep(world, faces_folder, "baseline", 2, **changes)
        assert runs_named("tune-s")[0].info.status == "FAILED"
        server.start()
        assert [t.state for t in trials_of(server.url)] == [TrialState.COMPLETE, TrialState.RUNNING]


@needs_postgres
def test_a_wrong_password_is_one_sentence_that_does_not_show_it() -> None:
    with postgres() as server:
        wrong = server.url.replace(PASSWORD, "quite-wrong")
        with pytest.raises(TrackingError) as caught:
            open_storage(wrong, heartbeat=20, grace=60, patience=600)
    said = str(caught.value)
    assert said.startswith(
        f"the study storage at postgresql://optuna:***@127.0.0.1:{server.port}/postgres"
    )
    assert "password authentication failed" in said
    assert "quite-wrong" not in said


@pytest.mark.parametrize(("codes", "is_finished"), [([0, 1], True), ([1, 0], True), ([1, 1], False)])
def test_one_workers_error_does_not_hide_that_another_finished_the_study(
    codes: list[int],
    is_finished: bool,
    world: Path,
    faces_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = iter(codes)

    class Process:
        def __init__(self, *, target: object, args: tuple[Any, ...]) -> None:
            self.exitcode, self.mouth = next(left), args[-1]

        def start(self) -> None:
            if self.exitcode:
                self.mouth.send(TrackingError("the disk is full"))

        def is_alive(self) -> bool:
            return False

    context = workers_room.multiprocessing.get_context("spawn")
    monkeypatch.setattr(context, "Process", Process)
    plan = plan_of(world, faces_folder, "baseline", 1, workers=2)
    crowd = workers_room.WorkerPool(plan, "run", world, time.monotonic() + 60)
    if is_finished:
        crowd.wait(lambda: None)
        assert "a worker failed; the others continued without it: the disk is full" in caplog.text
    else:
        with pytest.raises(TrackingError, match="the disk is full"):
            crowd.wait(lambda: None)


def test_workers_divide_the_cores(
    world: Path, faces_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[int, str | None]] = []

    class Process:
        exitcode = 0

        def __init__(self, *, target: object, args: tuple[object, ...]) -> None:
            self.num_threads = args[4]

        def start(self) -> None:
            assert isinstance(self.num_threads, int)
            started.append((self.num_threads, os.environ.get("LOKY_MAX_CPU_COUNT")))

        def is_alive(self) -> bool:
            return False

    context = workers_room.multiprocessing.get_context("spawn")
    monkeypatch.setattr(context, "Process", Process)
    monkeypatch.setattr(workers_room, "num_cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    plan = plan_of(world, faces_folder, "baseline", 1, workers=3)
    workers_room.WorkerPool(plan, "run", world, time.monotonic() + 60).wait(lambda: None)
    assert started == [(2, "2")] * 3
    assert "OMP_NUM_THREADS" not in os.environ
