"""Who is sent away, and with what words."""

from __future__ import annotations

import pytest

from fer_mlops.errors import ConfigError
from fer_mlops.serving.http import errors
from fer_mlops.serving.http.errors import RateLimit, RequestError
from fer_mlops.serving.http.settings import ServeSettings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def allowed(limit: RateLimit, client: str, num: int) -> int:
    """Returns how many of ``num`` requests are let through."""
    passed = 0
    for _ in range(num):
        try:
            limit.check(client)
        except RequestError:
            continue
        passed += 1
    return passed


def test_a_client_gets_its_rate_and_twice_that_in_a_burst() -> None:
    clock = Clock()
    limit = RateLimit(5, clock)
    assert allowed(limit, "1.1.1.1", 50) == 10
    clock.now += 1
    assert allowed(limit, "1.1.1.1", 50) == 5
    clock.now += 100
    assert allowed(limit, "1.1.1.1", 50) == 10
    assert allowed(limit, "2.2.2.2", 1) == 1


def test_the_refusal_says_when_to_come_again() -> None:
    limit = RateLimit(0.25, Clock())
    limit.check("1.1.1.1")
    with pytest.raises(RequestError, match=r"try again in 4 s") as refused:
        limit.check("1.1.1.1")
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "4"})


def test_one_ipv6_client_has_one_allowance_for_its_whole_network() -> None:
    limit = RateLimit(1, Clock())
    assert allowed(limit, "2001:db8::1", 5) == 2
    assert allowed(limit, "2001:db8::2", 5) == 0
    assert allowed(limit, "2001:db8:0:1::1", 5) == 2


def test_clients_are_forgotten_rather_than_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_CLIENTS", 3)
    limit = RateLimit(1, Clock())
    for number in range(9):
        limit.check(f"1.1.1.{number}")
    assert list(limit._left) == ["1.1.1.6", "1.1.1.7", "1.1.1.8"]


def test_no_rate_is_no_limit() -> None:
    assert allowed(RateLimit(0, Clock()), "1.1.1.1", 1000) == 1000


@pytest.mark.parametrize(
    ("name", "value"), [("port", 70000), ("max_batch", 0), ("poll", 0), ("rate", -1), ("max_pixels", 0)]
)
def test_a_setting_that_cannot_be_is_refused(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be .* got {value}"):
        ServeSettings(**{name: value})  # type: ignore[arg-type]
