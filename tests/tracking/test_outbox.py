"""What MLflow is told arrives once, in order, however often the server is away."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException
from PIL import Image

from fer_mlops.errors import TrackingError
from fer_mlops.tracking import connection, outbox
from fer_mlops.tracking.outbox import Outbox, stored_name
from fer_mlops.tracking.runs import track
from fer_mlops.tracking.tracker import Tracker
from fer_mlops.training.checkpoints import load_checkpoint, save_checkpoint


class Server:
    """A tracking server that can be taken away, and how the time passes for those who wait for it."""

    def __init__(self) -> None:
        self.is_up, self.now, self.num_asked, self.told = True, 100.0, 0, []  # type: ignore[var-annotated]
        self.after_telling: Callable[[], None] = lambda: None

    def take(self, _: object, __: str, entry: dict[str, Any]) -> None:
        self.answer()
        self.told.append(entry["values"])
        self.after_telling()

    def answer(self, _: float = 0) -> None:
        self.num_asked += 1
        if not self.is_up:
            raise MlflowException("API request to http://far failed with exception refused")

    def probe(self, _: float) -> None:
        try:
            self.answer()
        except MlflowException as error:
            raise TrackingError(str(error)) from error

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server to which every entry of kind ``tags`` goes."""
    fake = Server()
    monkeypatch.setattr(connection, "is_remote", lambda: True)
    monkeypatch.setitem(outbox._SENDERS, "tags", fake.take)
    monkeypatch.setattr(outbox, "check_server", fake.probe)
    monkeypatch.setattr(outbox.time, "monotonic", lambda: fake.now)
    monkeypatch.setattr(outbox.time, "sleep", fake.sleep)
    return fake


def entry(number: int) -> dict[str, Any]:
    return {"kind": "tags", "values": number}


def test_what_was_put_while_the_server_was_away_arrives_once_and_in_order(
    far: Server, caplog: pytest.LogCaptureFixture
) -> None:
    box = Outbox("run")
    with caplog.at_level(logging.WARNING):
        box.put(entry(1))
        far.is_up = False
        for number in range(2, 200):
            box.put(entry(number))
            far.now += 0.5
        assert far.told == [1]
        assert len(box.entries) == 198
        far.is_up = True
        far.now += 60
        box.put(entry(200))
    assert far.told == list(range(1, 201))
    assert box.entries == []
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2  # once when it goes, once when it is back
    assert "does not respond; the run continues" in messages[0]
    assert "responds again; all 199 entries are sent" in messages[1]


def test_a_server_that_is_away_is_asked_less_and_less_often(far: Server) -> None:
    box = Outbox("run")
    far.is_up = False
    for number in range(600):  # five minutes
        box.put(entry(number))
        far.now += 0.5
    assert 8 <= far.num_asked <= 11  # after 1, 2, 4, 8, 16, 32, 60, 60, 60 … seconds


def test_a_server_that_goes_in_the_middle_is_told_the_rest_later(far: Server) -> None:
    def go() -> None:
        far.is_up = len(far.told) != 3

    far.after_telling = go
    box = Outbox("run")
    with box.together():
        for number in range(6):
            box.put(entry(number))
        assert far.told == []
    assert far.told == [0, 1, 2]
    far.is_up, far.now = True, far.now + 2
    assert box.deliver()
    assert far.told == [0, 1, 2, 3, 4, 5]


def test_a_block_that_fails_tells_nothing(far: Server) -> None:
    box = Outbox("run")
    with pytest.raises(KeyboardInterrupt), box.together():  # noqa: PT012
        box.put(entry(1))
        raise KeyboardInterrupt
    box.put(entry(2))
    assert far.told == [2]


def test_waiting_ends_when_the_server_is_back(far: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Outbox("run")
    far.is_up = False
    box.put(entry(1))

    def sleep(seconds: float) -> None:
        far.sleep(seconds)
        far.is_up = far.now > 200

    monkeypatch.setattr(outbox.time, "sleep", sleep)
    assert box.wait(600, lambda: "answer") == "answer"
    assert far.told == [1]
    assert 200 < far.now < 270


def test_waiting_has_an_end_with_a_sentence(far: Server) -> None:
    box = Outbox("a-run")
    far.is_up = False
    box.put(entry(1))
    with pytest.raises(
        TrackingError, match=r"has not responded for 10 minutes \(.*run a-run is not logged completely"
    ):
        box.wait(600, lambda: None)
    assert far.now == pytest.approx(700)
    assert box.entries == [entry(1)]


def test_a_refusal_is_no_outage(far: Server) -> None:
    box = Outbox("run")

    def refuse() -> None:
        raise RestException({"error_code": "PERMISSION_DENIED", "message": "not yours\nat all"})

    with pytest.raises(TrackingError, match=r"refused: PERMISSION_DENIED: not yours$"):
        box.wait(600, refuse)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MlflowException("API request to http://far failed with exception refused"), True),
        (MlflowException("no such key", error_code=1000), False),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "bug"}), False),
        (RestException({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"}), True),
        (OSError(28, "No space left on device"), False),
    ],
    ids=["no answer", "a wrong call", "a bug of the server", "a busy server", "a full disk"],
)
def test_what_is_worth_a_later_try(error: Exception, expected: bool, far: Server) -> None:
    assert connection.is_unreachable(error) is expected


def test_without_a_server_nothing_is_put_off(world: Path) -> None:
    assert not connection.is_unreachable(MlflowException("the database is gone"))


def test_a_long_tag_is_cut_to_what_servers_accept(world: Path) -> None:
    with track("fer_mlops", "some") as tracker:
        tracker.log_facts({"reason": "x" * 9000})
    assert MlflowClient().get_run(tracker.run_id).data.tags["reason"] == "x" * 5000


def test_telling_everything_twice_changes_nothing(world: Path) -> None:
    with track("fer_mlops", "some") as tracker:
        with tracker.together():
            tracker.log_facts({"family": "cnn"})
            tracker.log_metrics({"valid/loss": 0.25, "valid/accuracy": 0.5}, 1)
            tracker.log_picture("gradcam/anger", Image.new("RGB", (300, 200)), 1)
            tracker.log_text("data/notes.txt", "a note")
            tracker.log_text("data/none.txt", "")
            save_checkpoint(world / "checkpoint.pt", tracker.state())
        state = load_checkpoint(world / "checkpoint.pt")
        again = Tracker(tracker.run_id, tracker.experiment_id)
        again.restore(state)
        assert again.curves() == tracker.curves()
    client = MlflowClient()
    (point,) = client.get_metric_history(tracker.run_id, "valid/loss")
    assert (point.step, point.value) == (1, 0.25)
    names = [item.path for item in client.list_artifacts(tracker.run_id, "images")]
    assert len(names) == 2
    assert mlflow.artifacts.load_text(f"runs:/{tracker.run_id}/data/notes.txt") == "a note"
    assert mlflow.artifacts.load_text(f"runs:/{tracker.run_id}/data/none.txt") == ""


def test_a_metric_after_the_last_step_keeps_its_time_when_it_is_told_again(world: Path) -> None:
    with track("fer_mlops", "some") as tracker:
        tracker.log_metrics({"valid/loss": 0.25}, 1)
        state = tracker.state()
        tracker.stop_clock()
        tracker.log_metrics({"test/accuracy": 0.5})
        again = Tracker(tracker.run_id, tracker.experiment_id)
        again.restore(state)
        again.stop_clock()
        again.log_metrics({"test/accuracy": 0.5})
    assert len(MlflowClient().get_metric_history(tracker.run_id, "test/accuracy")) == 1


def test_pictures_are_named_as_mlflow_names_them(world: Path) -> None:
    picture = Image.new("RGB", (300, 200))
    with track("fer_mlops", "some") as tracker:
        MlflowClient().log_image(tracker.run_id, picture, key="a/b", step=3)
        tags = MlflowClient().get_run(tracker.run_id).data.tags
        theirs = shapes(tracker)
    with track("fer_mlops", "some") as tracker:
        tracker.log_picture("a/b", picture, 3)
        assert shapes(tracker) == theirs
        ours = MlflowClient().get_run(tracker.run_id).data.tags
    assert ours["mlflow.loggedImages"] == tags["mlflow.loggedImages"]


def shapes(tracker: Tracker) -> list[str]:
    """Returns the names of a run's images with a letter for every run of digits or hexadecimals."""
    items = MlflowClient().list_artifacts(tracker.run_id, "images")
    return sorted(re.sub(r"timestamp\+\d+\+[0-9a-f-]{36}", "timestamp+N+U", item.path) for item in items)


@pytest.mark.parametrize(
    "name",
    ["test/macro_f1", "cnn.image_size", "test/slice_gap/source b - 2", "evaluate_größe/faces", "a" * 80],
)
def test_a_name_that_mlflow_takes_stays_as_it_is(name: str) -> None:
    assert stored_name(name) == name


ODD_NAMES = [
    "test/slice_accuracy/url https://example.org/" + "x" * 262,
    "evaluate_faces (copy)/faces",
    "evaluate_faces +copy+/faces",
    "evaluate_a + 'b', c/faces",
    "part/../faces",
    "part//faces",
    "/faces",
    "part/ /faces",
    "line\nbreak",
    "ends in a line break\n",
    "anna\x00/\udcff",
    "/".join(["long part"] * 60),
    "фото" * 40,
    "𝒳" * 90,
    "",
]


def test_every_name_is_stored_under_one_of_its_own_that_mlflow_takes(world: Path) -> None:
    stored = [stored_name(name) for name in ODD_NAMES]
    assert len(set(stored)) == len(ODD_NAMES)
    assert [stored_name(name) for name in stored] == stored
    with track("fer_mlops", "odd") as tracker:
        tracker.log_metrics({name: float(number) for number, name in enumerate(ODD_NAMES)})
        tracker.log_facts(dict.fromkeys(ODD_NAMES, "x" * 10000))
        tracker.outbox.put({"kind": "params", "values": dict.fromkeys(ODD_NAMES, "x")})
        for name in ODD_NAMES:
            tracker.log_text(f"files/{name}/report.json", name.encode(errors="replace").decode())
        assert tracker.has_metric(ODD_NAMES[0])
    logged = MlflowClient().get_run(tracker.run_id)
    assert logged.info.status == "FINISHED"
    assert [logged.data.metrics[name] for name in stored] == list(map(float, range(len(stored))))


def test_a_cut_name_keeps_the_suffix_of_its_file() -> None:
    assert re.fullmatch(r"x+-[0-9a-f]{8}\.png", stored_name("x" * 300 + ".png"))
