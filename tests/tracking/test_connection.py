"""A tracking server is asked as MLflow asks it, and no message shows its password."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import click
import mlflow
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from mlflow.exceptions import MlflowException

from fer_mlops.cli import main as commands
from fer_mlops.errors import TrackingError
from fer_mlops.tracking.connection import check_server, reason_of, refused, shown_uri, without_password


class Health(ThreadingHTTPServer):
    """Answers /health, and notes the authorization that came with it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.headers.get("Authorization", ""))
                self.send_response(200 if self.path == "/health" else 404)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def health(world: Path) -> Iterator[Health]:
    server = Health()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of our own authority for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tracking")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = tmp_path / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, *form)
    )
    return path


def test_a_user_and_password_in_the_address_are_sent_and_not_shown(health: Health) -> None:
    mlflow.set_tracking_uri(f"http://anna:p%40ss@127.0.0.1:{health.server_port}")
    check_server()
    assert health.asked == [f"Basic {b64encode(b'anna:p@ss').decode()}"]
    assert shown_uri() == f"http://127.0.0.1:{health.server_port}"


def test_a_token_in_the_environment_is_sent(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    mlflow.set_tracking_uri(f"http://127.0.0.1:{health.server_port}")
    check_server()
    assert health.asked == ["Bearer t0ken"]


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("setting", ["MLFLOW_TRACKING_SERVER_CERT_PATH", "MLFLOW_TRACKING_INSECURE_TLS"])
def test_a_private_authority_is_believed_where_mlflow_is_told_to(
    setting: str, health: Health, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    health.socket = context.wrap_socket(health.socket, server_side=True)
    mlflow.set_tracking_uri(f"https://127.0.0.1:{health.server_port}")
    with pytest.raises(TrackingError, match="CERTIFICATE_VERIFY_FAILED"):
        check_server()
    is_path = setting.endswith("PATH")
    monkeypatch.setenv(setting, str(certificate) if is_path else "true")
    check_server()
    assert health.asked == [""]


@pytest.mark.parametrize(
    "place",
    ["nowhere.invalid", "127.0.0.1:9", "host:abc", "[::1", "", "a..b", "127.0.0.1:99999", "ho st"],
)
@pytest.mark.parametrize("user", ["", "anna:secret@", "anna:secret@word@", "anna:sec/secret@"])
def test_an_address_where_nothing_answers_is_one_sentence_without_its_password(
    place: str, user: str, world: Path
) -> None:
    mlflow.set_tracking_uri(f"http://{user}{place}")
    with pytest.raises(TrackingError, match=r"^no tracking server answers at http://") as caught:
        check_server(3)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "word" not in str(caught.value)


def test_a_port_that_speaks_no_http_is_one_sentence(world: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = Thread(target=greet)
        thread.start()
        mlflow.set_tracking_uri(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(TrackingError, match=r"BadStatusLine.*correct MLFLOW_TRACKING_URI"):
            check_server()
        thread.join()


def test_no_password_is_in_what_other_libraries_say(world: Path) -> None:
    mlflow.set_tracking_uri("https://anna:p@ssw0rd@tracking.example/mlflow")
    for said in (
        "API request to https://anna:p@ssw0rd@tracking.example/mlflow/api failed with exception x",
        "nonnumeric port: 'ssw0rd@tracking.example'",
        "nonnumeric port: 'p@ssw0rd@tracking.example'",
    ):
        for shown in (
            without_password(said),
            reason_of(ValueError(said)),
            str(refused(MlflowException(said))),
        ):
            assert "ssw0rd" not in shown
    assert "postgresql://db/optuna" in without_password("at postgresql://anna:secret@db/optuna: no")
    assert without_password("models:/fer-classifier@champion") == "models:/fer-classifier@champion"
    assert without_password("sqlite:////home/a@b/x.db") == "sqlite:////home/a@b/x.db"


def test_the_ui_of_a_server_is_named_without_its_password(
    world: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fer_mlops.tracking.store.check_store", lambda *_: None)
    experiment = mlflow.get_experiment("0")
    monkeypatch.setattr("fer_mlops.tracking.store.ensure_experiment", lambda _: experiment)
    mlflow.set_tracking_uri("http://anna:secret@tracking.example:5000")
    assert isinstance(commands.ui, click.Command)
    commands.ui.main([], standalone_mode=False)
    assert capfd.readouterr().out.startswith("http://tracking.example:5000/#/experiments/0")
