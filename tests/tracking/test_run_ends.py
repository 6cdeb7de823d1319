"""A run's state in the store is true, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fer_mlops.errors import TrackingError
from fer_mlops.tracking.outbox import Outbox
from fer_mlops.tracking.runs import RunStopped, track
from fer_mlops.tracking.tracker import Tracker


def status(run_id: str) -> str:
    return str(MlflowClient().get_run(run_id).info.status)


def refuse(tracker: Tracker) -> None:
    """Puts a parameter, then another value for it, which MLflow refuses."""
    for value in ("1", "2"):
        tracker.outbox.put({"kind": "params", "values": {"seed": value}})


def ended_by(error: type[BaseException], work: Callable[[Tracker], None]) -> str:
    """Returns the run that ``work`` ends with ``error``; it is off MLflow's stack."""
    trackers = []

    def run() -> None:
        with track("fer_mlops", "some") as tracker:
            trackers.append(tracker)
            work(tracker)

    with pytest.raises(error):
        run()
    assert mlflow.active_run() is None
    return trackers[0].run_id


def test_a_run_whose_entry_is_refused_is_failed(world: Path) -> None:
    assert status(ended_by(TrackingError, refuse)) == "FAILED"


def test_a_run_is_finished_only_with_what_waited_until_its_end(world: Path) -> None:
    with track("fer_mlops", "some") as tracker:
        tracker.outbox._next_try = float("inf")  # the server did not answer a moment ago
        tracker.log_facts({"state": "late"})
    run = MlflowClient().get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "late")

    def refuse_late(tracker: Tracker) -> None:
        tracker.outbox._next_try = float("inf")
        refuse(tracker)

    assert status(ended_by(TrackingError, refuse_late)) == "FAILED"


def test_the_parent_of_a_refused_child_is_failed(world: Path) -> None:
    with pytest.raises(TrackingError), track("fer_mlops", "all") as parent:  # noqa: SIM117
        with track("fer_mlops", "cnn", nested=True) as child:
            refuse(child)
    assert mlflow.active_run() is None
    assert (status(child.run_id), status(parent.run_id)) == ("FAILED", "FAILED")


def test_a_refused_child_ends_no_run_but_its_own(world: Path) -> None:
    with track("fer_mlops", "all") as parent:
        with suppress(TrackingError), track("fer_mlops", "cnn", nested=True) as child:
            refuse(child)
        active = mlflow.active_run()
        assert active
        assert active.info.run_id == parent.run_id
    assert (status(child.run_id), status(parent.run_id)) == ("FAILED", "FINISHED")


def test_a_stopped_run_that_cannot_tell_everything_is_failed(world: Path) -> None:
    def stop(tracker: Tracker) -> None:
        with suppress(TrackingError):
            refuse(tracker)
        raise RunStopped("behind")

    assert status(ended_by(TrackingError, stop)) == "FAILED"


def test_a_second_ctrl_c_does_not_leave_the_run_open(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver = Outbox.deliver

    def interrupted(self: Outbox, *, at_once: bool = False) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        return deliver(self, at_once=at_once)

    def interrupt(_: Tracker) -> None:
        monkeypatch.setattr(Outbox, "deliver", interrupted)
        raise KeyboardInterrupt

    handlers = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    assert status(ended_by(KeyboardInterrupt, interrupt)) == "KILLED"
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_what_waits_for_a_server_that_is_back_is_told_when_the_run_is_killed(world: Path) -> None:
    def interrupt(tracker: Tracker) -> None:
        tracker.outbox._next_try = float("inf")  # it did not answer a moment ago
        tracker.log_facts({"state": "STOPPED"})
        raise KeyboardInterrupt

    run_id = ended_by(KeyboardInterrupt, interrupt)
    assert MlflowClient().get_run(run_id).data.tags["state"] == "STOPPED"


def test_a_run_is_failed_where_opening_it_fails_half_way(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = MlflowClient().create_experiment("by-ui", artifact_location="mlflow-artifacts:/7")
    monkeypatch.setenv("MLFLOW_RUN_ID", MlflowClient().create_run(spoilt).info.run_id)

    def refuse_tags(*_: object) -> None:
        raise MlflowException("no", error_code=7)

    monkeypatch.setattr(MlflowClient, "set_tag", refuse_tags)
    with pytest.raises(TrackingError), track("fer_mlops", "some"):
        pass
    assert mlflow.active_run() is None
    (found,) = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert found.info.status == "FAILED"


def test_a_run_that_was_deleted_meanwhile_is_not_finished(world: Path) -> None:
    def delete(tracker: Tracker) -> None:
        MlflowClient().delete_run(tracker.run_id)
        tracker.log_metrics({"loss": 1.0})

    assert status(ended_by(TrackingError, delete)) != "FINISHED"


def test_a_run_that_cannot_be_told_to_be_finished_is_failed(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_terminated = MlflowClient.set_terminated

    def only_failed(self: MlflowClient, run_id: str, status: str) -> None:
        if status == "FINISHED":
            raise MlflowException("no", error_code=7)
        set_terminated(self, run_id, status)

    monkeypatch.setattr(MlflowClient, "set_terminated", only_failed)
    assert status(ended_by(TrackingError, lambda _: None)) == "FAILED"


_ENDS_BADLY = """
import sys
from fer_mlops.tracking.runs import track
with track("fer_mlops", "all"):
    with track("fer_mlops", "cnn", nested=True) as child:
        for value in "12":
            child.outbox.put({"kind": "params", "values": {"seed": value}})
"""


@pytest.mark.slow
def test_mlflow_finishes_no_failed_run_when_the_process_ends(world: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _ENDS_BADLY], cwd=world, capture_output=True, text=True)
    assert "refused" in done.stderr
    runs = mlflow.search_runs(experiment_names=["fer_mlops"], output_format="list")
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]
