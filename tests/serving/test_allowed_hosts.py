"""Which names and pages the service answers to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from services import face, save_bundle, settings
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from fer_mlops.serving.http.allowed_hosts import HostCheck
from fer_mlops.serving.http.app import create_app
from fer_mlops.serving.http.errors import RequestError
from fer_mlops.serving.http.service import Service
from fer_mlops.serving.http.settings import ServeSettings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    bundle = save_bundle(tmp_path_factory.mktemp("bundle") / "classifier")
    service = Service(settings(bundle, allowed_hosts=""))
    service.slots.load()
    with TestClient(create_app(service), base_url="http://127.0.0.1:8080") as made:
        yield made


def answers(method: str = "POST", *, allowed: str = "", bound: str = "127.0.0.1", **sent: str) -> bool:
    """Returns whether a request with these headers is let through."""
    check = HostCheck(None, settings=ServeSettings(host=bound, allowed_hosts=allowed))  # type: ignore[arg-type]
    try:
        check.check(method, Headers(sent))
    except RequestError:
        return False
    return True


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", 
     "10.1.2.3", "192.168.0.7:9", "[fe80::1]"],
)  # fmt: skip
def test_localhost_and_every_ip_address_are_answered_to(host: str) -> None:
    assert answers(host=host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example",
     "2130706433", "0x7f.1", "", ":8080", "[::1", "*", "serve:8080"],
)  # fmt: skip
def test_any_other_name_is_refused(host: str) -> None:
    assert not answers("GET", host=host)


def test_names_that_are_allowed_or_bound_are_answered_to() -> None:
    assert answers(host="fer.example", allowed="serve, FER.example")
    assert answers(host="serve:8080", allowed="serve, FER.example")
    assert answers(host="a.fer.example:1", allowed="*.fer.example")
    assert answers(host="serve:8080", allowed="serve:8080")
    assert not answers(host="serve:9090", allowed="serve:8080")
    assert not answers(host="evil.example", allowed="serve, fer.example")
    assert answers(host="anything", allowed="*")
    assert answers(host="myhost:8080", bound="MyHost")


def test_a_probe_without_a_host_is_answered() -> None:
    assert answers("GET")


@pytest.mark.parametrize(
    ("origin", "is_answered"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://127.0.0.1:8080", True),  # behind a proxy that ends TLS
        ("http://evil.example", False),
        ("http://127.0.0.1:3000", False),
        ("http://localhost:8080", False),
        ("http://10.0.0.66", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_page_posts_to_its_own_service_only(origin: str, is_answered: bool) -> None:
    assert answers(host="127.0.0.1:8080", origin=origin) == is_answered
    assert answers("GET", host="127.0.0.1:8080", origin=origin)


def test_a_page_behind_a_proxy_that_renames_the_host_posts_under_its_allowed_name() -> None:
    sent = {"host": "127.0.0.1:8080", "origin": "https://fer.example"}
    assert not answers(**sent)
    assert answers(**sent, allowed="fer.example")


def test_a_foreign_name_is_one_sentence_at_every_address(client: TestClient) -> None:
    for address in ("/", "/model", "/docs", "/openapi.json", "/nowhere"):
        refused = client.get(address, headers={"Host": "evil.example"})
        assert refused.status_code == 403
        assert refused.json() == {
            "error_code": "FORBIDDEN",
            "message": "'evil.example' is not an allowed host name of this service; to allow it, start "
            "the service with --allowed-hosts NAME",
        }


def test_a_foreign_page_cannot_post_a_form(client: TestClient) -> None:
    form = {"files": {"image": face()}}
    refused = client.post("/predict", **form, headers={"Origin": "http://evil.example"})
    assert (
        refused.status_code,
        "pages of 'http://evil.example' may not use this service" in refused.text,
    ) == (403, True)
    own = client.post("/predict", **form, headers={"Origin": "http://127.0.0.1:8080"})
    assert own.status_code == client.post("/predict", **form).status_code == 200


@pytest.mark.parametrize("address", ["/health", "/ready", "/ping", "/metrics"])
def test_probes_reach_it_by_ip_address(address: str, client: TestClient) -> None:
    assert client.get(address, headers={"Host": "10.42.0.17:8080"}).status_code == 200
