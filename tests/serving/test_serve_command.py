"""The service as a process: what it says when it cannot start, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import fields
from pathlib import Path

import pytest
from commands import fer
from hostile import request
from services import face, save_bundle

from fer_mlops.cli.serve import serve
from fer_mlops.serving.http import server
from fer_mlops.serving.http.settings import ServeSettings

ROOT = Path(__file__).parents[2]


def test_no_champion_is_one_sentence(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, _, err = fer(capfd, "serve", "--port", "0")
    assert status == 1
    assert "there is no model 'models:/fer-classifier@champion'" in err
    assert len(err.strip().splitlines()) == 1


def test_a_port_that_is_taken_is_one_sentence(world: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, _, err = fer(capfd, "serve", "--port", str(port))
    assert status == 2
    assert (
        f"cannot listen at 127.0.0.1 port {port}: Address already in use; choose another address" in err
    )
    assert len(err.strip().splitlines()) == 1


def test_a_host_that_is_not_this_machine_is_one_sentence(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = fer(capfd, "serve", "--host", "192.0.2.1", "--port", "0")
    assert (status, "cannot listen at 192.0.2.1 port 0" in err) == (2, True)


def test_a_tracking_server_that_is_away_is_one_sentence(
    world: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    mlflow.set_tracking_uri("http://127.0.0.1:9")
    status, _, err = fer(capfd, "serve", "--port", "0")
    assert status == 1
    assert "no tracking server answers at http://127.0.0.1:9" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_sigterm_lets_what_was_asked_be_answered_and_ends_with_status_0(
    world: Path, tmp_path: Path
) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    command = [sys.executable, "-m", "fer_mlops", "serve", "--model", str(bundle), "--port", "0"]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            address = process.stdout.readline().split()[-1]
            statuses: list[int] = []

            def ask() -> None:
                asked = urllib.request.Request(
                    f"{address}/predict?explain=true", face(), {"Content-Type": "image/jpeg"}
                )
                with urllib.request.urlopen(asked, timeout=30) as response:
                    statuses.append(response.status)

            host, port = address.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as slow:
                wire = request(face(), "image/jpeg")
                slow.sendall(wire[:-500])  # the rest comes after the signal
                clients = [threading.Thread(target=ask) for _ in range(4)]
                for client in clients:
                    client.start()
                for client in clients:
                    client.join()
                time.sleep(0.2)
                process.send_signal(signal.SIGTERM)
                time.sleep(0.5)
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection((host, int(port)))
                slow.sendall(wire[-500:])
                assert slow.recv(100).startswith(b"HTTP/1.1 200")
            _, err = process.communicate(timeout=90)
            assert process.returncode == 0
            assert statuses == [200] * 4
            assert err.splitlines()[-1].endswith("INFO event=stopped")
            assert "Traceback" not in err
        finally:
            process.kill()


def settings_of(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: str
) -> ServeSettings:
    """Returns the settings that the command starts the server with."""
    seen: list[ServeSettings] = []
    monkeypatch.setattr(server, "serve", lambda settings, _: seen.append(settings))
    status, _, err = fer(capfd, "serve", *words)
    assert status == 0, err
    return seen[0]


def test_settings_come_from_a_file_then_from_set_then_from_options(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "serving.yaml"
    path.write_text("port: 1\nrate: 3\nmax_batch: 7\nlogs_requests: false\n")
    words = ["--settings", str(path), "--set", "rate=20", "--port", "2"]
    found = settings_of(monkeypatch, capfd, *words)
    assert found == ServeSettings(port=2, rate=20.0, max_batch=7, logs_requests=False)
    assert settings_of(monkeypatch, capfd) == ServeSettings()
    assert settings_of(monkeypatch, capfd, "--set", "waits=true").wait_for_model  # the former name


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("max_batches=3", "unknown setting max_batches; did you mean max_batch?"),
        ("max_batch=many", "max_batch must be a whole number, got 'many'"),
        ("max_batch=0", "max_batch must be 1 or more, got 0"),
    ],
)
def test_a_wrong_setting_is_one_sentence(
    assignment: str, sentence: str, capfd: pytest.CaptureFixture[str]
) -> None:
    status, _, err = fer(capfd, "serve", "--set", assignment)
    assert status != 0
    assert sentence in err


def test_the_help_of_serve_fits_one_screen(capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = fer(capfd, "serve", "--help")
    assert status == 0
    assert len(out.splitlines()) <= 30


def test_the_documentation_lists_every_setting_that_is_no_option_with_its_default() -> None:
    page = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8").split("\n## Settings\n")[1]
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    listed = {name.strip(" `"): default.strip() for name, default in rows}
    options = {option.name for option in serve.params}
    rare = {field.name: str(field.default) for field in fields(ServeSettings)}
    assert listed == {name: text.lower() for name, text in rare.items() if name not in options}
