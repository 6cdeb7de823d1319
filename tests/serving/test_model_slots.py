"""What answers while the registry changes."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from contextlib import suppress
from http.client import BadStatusLine
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from services import (
    face,
    listening,
    log_and_register,
    publish,
    save_bundle,
    settings,
    text,
    untrained,
)
from starlette.testclient import TestClient

from fer_mlops import REGISTERED_NAME
from fer_mlops.errors import ModelError, TrackingError
from fer_mlops.serving.http import model_slots as slots_module
from fer_mlops.serving.http.app import create_app
from fer_mlops.serving.http.service import Service

CHAMPION = f"models:/{REGISTERED_NAME}@champion"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("bundles")
    return [save_bundle(folder / str(seed), seed) for seed in range(2)]


def loaded(**changes: object) -> Service:
    service = Service(settings(CHAMPION, **{"challenger": "auto", **changes}))
    service.slots.load()
    return service


def versions(service: Service) -> dict[str, str]:
    return {slot: served.card.version for slot, served in service.slots.filled.items()}


def switches(service: Service, slot: str, outcome: str) -> float:
    value = service.counts.registry.get_sample_value(
        "fer_model_switches_total", {"slot": slot, "outcome": outcome}
    )
    return value or 0.0


def test_a_moved_champion_is_followed_and_what_began_before_ends_as_it_began(
    world: Path, bundles: list[Path]
) -> None:
    publish(bundles[0], "champion")
    service = loaded()
    before = service.served("champion")
    publish(bundles[1], "champion")
    service.slots.refresh()
    assert versions(service) == {"champion": "2"}
    assert switches(service, "champion", "done") == 2
    pixels = before.classifier.prepare([face()])
    old, new = (one.classifier.predict_proba(pixels) for one in (before, service.served("champion")))
    assert not np.allclose(old, new, atol=1e-3)
    service.slots.refresh()
    assert switches(service, "champion", "done") == 2


def test_no_request_is_lost_while_the_champion_moves(world: Path, bundles: list[Path]) -> None:
    first = publish(bundles[0], "champion")
    service = loaded(poll=0.05)
    seen: list[tuple[int, str]] = []
    is_done = threading.Event()

    def ask(port: int) -> None:
        import http.client
        import json

        line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not is_done.is_set():
            line.request("POST", "/predict", face(), JPEG)
            response = line.getresponse()
            seen.append((response.status, json.loads(response.read())["model"]["version"]))
        line.close()

    def wait_for(version: int) -> None:
        until = time.monotonic() + 20
        while seen[-1:] != [(200, str(version))] and time.monotonic() < until:
            time.sleep(0.01)

    with listening(service) as port:
        clients = [threading.Thread(target=ask, args=(port,)) for _ in range(3)]
        for client in clients:
            client.start()
        wait_for(first)
        wait_for(publish(bundles[1], "champion"))
        is_done.set()
        for client in clients:
            client.join()
    assert {status for status, _ in seen} == {200}
    assert [version for _, version in seen[:1] + seen[-1:]] == ["1", "2"]


def test_a_version_that_does_not_load_changes_nothing_and_is_not_tried_every_time(
    world: Path, bundles: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bundles[0], "champion")
    service = loaded()
    broken = tmp_path / "broken"
    shutil.copytree(bundles[1], broken)
    (broken / "weights.pt").write_bytes(b"damaged")
    publish(broken, "champion")
    for _ in range(3):
        service.slots.refresh()
    assert versions(service) == {"champion": "1"}
    assert switches(service, "champion", "failed") == 1
    assert "slot=champion event=refused name=models:/fer-classifier/2" in caplog.text
    with TestClient(create_app(service)) as client:
        assert client.post("/predict", content=face(), headers=JPEG).json()["model"]["version"] == "1"


def test_a_version_whose_loading_fails_in_any_way_is_refused_once(
    world: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bundles[0], "champion")
    service = loaded()
    publish(bundles[1], "champion")

    def fail(_: str) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("fer_mlops.serving.http.model_slots.load_classifier", fail)
    for _ in range(3):
        service.slots.refresh()
    assert versions(service) == {"champion": "1"}
    assert switches(service, "champion", "failed") == 1


def test_a_challenger_comes_answers_beside_and_goes(world: Path, bundles: list[Path]) -> None:
    publish(bundles[0], "champion")
    service = loaded()
    assert versions(service) == {"champion": "1"}
    publish(bundles[1], "challenger")
    service.slots.refresh()
    with TestClient(create_app(service)) as client:
        both = [
            client.post(f"/predict?model={slot}", content=face(), headers=JPEG).json()
            for slot in ("champion", "challenger")
        ]
        assert client.get("/model").json()["challenger"]["version"] == "2"
    assert [one["model"]["version"] for one in both] == ["1", "2"]
    assert both[0]["probabilities"] != both[1]["probabilities"]
    MlflowClient().delete_registered_model_alias(REGISTERED_NAME, "challenger")
    service.slots.refresh()
    assert versions(service) == {"champion": "1"}


def test_a_promoted_challenger_is_not_loaded_again(world: Path, bundles: list[Path]) -> None:
    publish(bundles[0], "champion")
    publish(bundles[1], "challenger")
    service = loaded()
    classifier = service.served("challenger").classifier
    client = MlflowClient()
    client.set_registered_model_alias(REGISTERED_NAME, "champion", "2")
    client.delete_registered_model_alias(REGISTERED_NAME, "challenger")
    service.slots.refresh()
    assert versions(service) == {"champion": "2"}
    assert service.served("champion").classifier is classifier
    assert service.served("champion").card.aliases == ("champion",)


def test_a_silent_registry_is_told_once_and_the_model_goes_on(
    world: Path,
    bundles: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publish(bundles[0], "champion")
    service = loaded()

    def silent() -> None:
        raise TrackingError("no tracking server answers")

    with monkeypatch.context() as patch, caplog.at_level("INFO", "fer_mlops.serving.http"):
        patch.setattr(slots_module, "check_server", silent)
        service.slots.refresh()
        service.slots.refresh()
    assert caplog.text.count("event=silent") == 1
    assert service.counts.registry.get_sample_value("fer_registry_reachable") == 0
    assert versions(service) == {"champion": "1"}
    service.slots.refresh()
    assert service.counts.registry.get_sample_value("fer_registry_reachable") == 1


@pytest.mark.parametrize(
    "error",
    [BadStatusLine("GARBAGE"), ValueError(""), KeyError("host")],
)
def test_no_error_of_the_registry_ends_the_watch(
    error: Exception, world: Path, bundles: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    publish(bundles[0], "champion")
    service = loaded(poll=0.01)
    failures = iter([error, error, error])

    def fail_thrice() -> None:
        for one in failures:
            raise one

    with (
        pytest.MonkeyPatch.context() as patch,
        caplog.at_level("INFO", "fer_mlops.serving.http"),
        TestClient(create_app(service)) as client,
    ):
        patch.setattr(slots_module, "check_server", fail_thrice)
        publish(bundles[1], "champion")
        until = time.monotonic() + 20
        while versions(service) != {"champion": "2"} and time.monotonic() < until:
            time.sleep(0.01)
        assert client.post("/predict", content=face(), headers=JPEG).json()["model"]["version"] == "2"
    silent, answers = (r.getMessage() for r in caplog.records if "registry=" in r.getMessage())
    assert f"{type(error).__name__}: " in silent.partition("event=silent reason=")[2]
    assert "event=answers" in answers


def test_a_registry_that_speaks_no_http_is_told_once_and_does_not_stop_the_end(
    world: Path, bundles: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(bundles[0], "champion")
    service = loaded(poll=0.01)
    with socket.create_server(("127.0.0.1", 0)) as other, TestClient(create_app(service)) as client:

        def chat() -> None:
            with suppress(OSError):  # until it is closed
                while True:
                    line, _ = other.accept()
                    line.recv(1000)
                    line.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                    line.close()

        threading.Thread(target=chat, daemon=True).start()
        mlflow.set_tracking_uri(f"http://127.0.0.1:{other.getsockname()[1]}")
        until = time.monotonic() + 20
        while service.counts.registry.get_sample_value("fer_registry_reachable") and (
            time.monotonic() < until
        ):
            time.sleep(0.01)
        service.slots.refresh()
        assert service.counts.registry.get_sample_value("fer_registry_reachable") == 0
        assert client.post("/predict", content=face(), headers=JPEG).status_code == 200
        other.shutdown(socket.SHUT_RDWR)
    assert caplog.text.count("event=silent") == 1
    assert service.computer._shutdown


def test_the_threads_end_with_the_service_even_if_the_watch_is_broken(
    bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(settings(bundles[0], poll=0.001))
    service.slots.load()

    def broken() -> None:
        raise AssertionError("a mistake of ours")

    monkeypatch.setattr(service.slots, "refresh", broken)
    with TestClient(create_app(service)) as client:
        time.sleep(0.05)
        assert client.get("/health").status_code == 200
    assert all(pool._shutdown for pool in (service.decoders, service.computer, service.explainer))


@pytest.mark.parametrize("name", [CHAMPION, "models:/other/3", "models:/m-0123456789", "nowhere"])
def test_a_model_that_is_not_there_is_one_sentence(name: str, world: Path) -> None:
    with pytest.raises(ModelError, match=r"no model|cannot be fetched"):
        Service(settings(name)).slots.load()


def test_a_service_that_waits_is_ready_once_there_is_a_champion(
    world: Path, bundles: list[Path]
) -> None:
    service = loaded(wait_for_model=True)
    with TestClient(create_app(service)) as client:
        assert client.get("/health").status_code == 200
        for refused in (client.get("/ready"), client.post("/predict", content=face(), headers=JPEG)):
            assert refused.status_code == 503
            assert "there is no model" in refused.json()["message"]
        publish(bundles[0], "champion")
        service.slots.refresh()
        assert client.get("/ready").json()["model"] == "models:/fer-classifier/1"


def test_a_version_named_by_its_number_stays(world: Path, bundles: list[Path]) -> None:
    publish(bundles[0], "champion")
    service = Service(settings(f"models:/{REGISTERED_NAME}/1", challenger="auto"))
    service.slots.load()
    publish(bundles[1], "champion", "challenger")
    service.slots.refresh()
    assert versions(service) == {"champion": "1"}


def test_a_registered_model_is_answered_for_as_mlflow_does(world: Path) -> None:
    log_and_register(untrained(3), 0.5)
    service = loaded()
    frame = pd.DataFrame({"image": [face(10), face(70)]})
    rows = mlflow.pyfunc.load_model(CHAMPION).predict(frame).to_dict(orient="records")
    body = {"dataframe_records": [{"image": text(image)} for image in frame["image"]]}
    with TestClient(create_app(service)) as client:
        answered = client.post("/invocations", json=body).json()["predictions"]
        card = client.get("/model").json()["champion"]
    for own, theirs in zip(answered, rows, strict=True):
        assert list(own) == list(theirs)
        assert (own["emotion"], own["is_sure"]) == (theirs["emotion"], theirs["is_sure"])
        numbers = [name for name in own if name not in ("emotion", "is_sure")]
        np.testing.assert_allclose(
            [own[n] for n in numbers], [theirs[n] for n in numbers], rtol=0, atol=1e-6
        )
    assert (card["tags"]["split"], card["data_digest"], card["aliases"]) == (
        "identity",
        "same",
        ["champion"],
    )
