"""Passwords and tokens can't be guessed: after so many failures an account or address has to wait, on every way in."""

from __future__ import annotations

import asyncio
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from agents.auth import client_address, credentials, throttle
from agents.errors import TooManyFailures
from tests.api.conftest import ApiClient, problem

PASSWORD = "a long and right password"


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    settings.LOGIN_FAILURES_PER_ACCOUNT = 3
    settings.LOGIN_FAILURES_PER_ADDRESS = 6
    settings.TOKEN_FAILURES_PER_ADDRESS = 4
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def new_address() -> str:
    """One that no other test has used: counts are kept in Redis."""
    return f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"


@pytest.fixture
def address() -> str:
    return new_address()


@pytest.fixture
def account(db: None) -> User:
    return User.objects.create_superuser(f"user-{uuid.uuid4().hex[:8]}", password=PASSWORD)


def log_in(account: User | str, password: str, address: str, path: str = "/login/", **headers: str) -> Any:
    fields = {"username": str(account), "password": password}
    return Client(REMOTE_ADDR=address, headers=headers).post(path, fields)


# Passwords ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_account_can_not_log_in_by_password_after_too_many_wrong_ones_from_anywhere(account: User, path: str):
    for _ in range(3):
        assert log_in(account, "wrong", new_address(), path).status_code == 200
    refused = log_in(account, PASSWORD, new_address(), path)
    assert refused.status_code == 429
    assert 0 < int(refused["Retry-After"]) <= 300
    assert "Too many attempts" in refused.content.decode()
    assert "agentsite login" in refused.content.decode()


def test_address_can_not_log_in_after_too_many_wrong_passwords_for_any_accounts(account: User, address: str):
    for number in range(6):
        assert log_in(f"nobody-{number}", "wrong", address).status_code == 200
    assert log_in(account, PASSWORD, address).status_code == 429
    assert log_in(account, PASSWORD, new_address()).status_code == 302


def test_blocked_address_blocks_no_accounts(account: User, address: str):
    for number in range(6):
        log_in(f"nobody-{number}", "wrong", address)
    for _ in range(10):
        assert log_in(account, "wrong", address).status_code == 429
    assert log_in(account, PASSWORD, new_address()).status_code == 302


def test_right_passwords_are_not_counted(account: User, address: str):
    for _ in range(20):
        assert log_in(account, PASSWORD, address).status_code == 302
    for _ in range(3):
        assert log_in(account, "wrong", address).status_code == 200
    assert log_in(account, "wrong", address).status_code == 429


@pytest.mark.django_db(transaction=True)
def test_of_many_guesses_at_once_no_more_than_the_limit_are_looked_at(account: User, monkeypatch: pytest.MonkeyPatch):
    looked_at: list[str] = []

    def check(_: User, password: str) -> bool:
        looked_at.append(password)
        time.sleep(0.05)  # a real hash takes longer
        return False

    monkeypatch.setattr(User, "check_password", check)

    def guess(number: int) -> int:
        try:
            return int(log_in(account, f"guess {number}", new_address()).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(guess, range(12)))
    assert len(looked_at) == 3
    assert sorted(statuses) == [200] * 3 + [429] * 9


def test_one_time_link_logs_a_blocked_account_in(account: User, address: str):
    from datetime import timedelta

    for _ in range(4):
        log_in(account, "wrong", new_address())
    link = credentials.create_login_link(account, timedelta(minutes=5))
    assert Client(REMOTE_ADDR=address).get(f"/login/link/{link}").status_code == 302


def test_window_ends(account: User, address: str, settings: Any):
    settings.LOGIN_WINDOW_S = 1
    for _ in range(4):
        last = log_in(account, "wrong", address)
    assert last.status_code == 429
    deadline = time.monotonic() + 5
    while log_in(account, PASSWORD, address).status_code != 302:
        assert time.monotonic() < deadline
        time.sleep(0.05)


# Tokens ------------------------------------------------------------------------------------------------------------


def bearer(token: str, address: str, **headers: str) -> Any:
    client = Client(REMOTE_ADDR=address, headers={"authorization": f"Bearer {token}", **headers})
    return client.get("/api/agents")


def over_raw_asgi(token: str, address: str) -> tuple[int, dict[str, str]]:
    """The event stream, which does not go through Django."""
    from agentsite.asgi import application

    async def ask() -> tuple[int, dict[str, str]]:
        scope = {
            "type": "http",
            "method": "GET",
            "path": f"/api/agents/{uuid.uuid4()}/stream",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "client": (address, 4711),
        }
        site = ApplicationCommunicator(application, scope)
        await site.send_input({"type": "http.request", "body": b""})
        start = await site.receive_output(timeout=20)
        await site.wait()
        return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}

    return asyncio.run(ask())


def test_wrong_tokens_are_401_and_then_429_with_retry_after(api: ApiClient, address: str):
    assert [bearer(f"as_wrong{n}", address).status_code for n in range(4)] == [401] * 4
    refused = bearer("as_wrong", address)
    assert problem((refused.status_code, refused.json())) == (429, "too-many-failures")
    assert 0 < int(refused["Retry-After"]) <= 60


def test_blocked_address_may_send_no_token_and_everybody_else_may(api: ApiClient, address: str):
    token = api.headers["Authorization"].removeprefix("Bearer ")
    for n in range(5):
        bearer(f"as_wrong{n}", address)
    assert bearer(token, address).status_code == 429
    assert bearer(token, new_address()).status_code == 200


def test_streams_and_api_count_together(api: ApiClient, address: str):
    assert [over_raw_asgi("as_wrong", address)[0] for _ in range(2)] == [401] * 2
    assert [bearer("as_wrong", address).status_code for _ in range(2)] == [401] * 2
    status, headers = over_raw_asgi("as_wrong", address)
    assert status == 429
    assert 0 < int(headers["retry-after"]) <= 60
    assert bearer("as_wrong", address).status_code == 429


def test_unknown_login_links_count_like_wrong_tokens(api: ApiClient, address: str):
    client = Client(REMOTE_ADDR=address)
    assert [client.get(f"/login/link/guess{n}").status_code for n in range(4)] == [410] * 4
    assert client.get("/login/link/guess").status_code == 429
    assert bearer("as_wrong", address).status_code == 429


def test_good_token_costs_nothing_of_it(api: ApiClient, address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throttle, "_ask", lambda _: pytest.fail("asked Redis"))
    assert bearer(api.headers["Authorization"].removeprefix("Bearer "), address).status_code == 200


def test_request_without_a_token_is_no_failure(api: ApiClient, address: str):
    for _ in range(10):
        assert Client(REMOTE_ADDR=address).get("/api/agents").status_code == 401


def test_addresses_of_one_ipv6_network_count_as_one(api: ApiClient, address: str):
    network = address.removesuffix("1")
    assert [bearer("as_wrong", f"{network}{n}").status_code for n in range(1, 7)] == [401] * 4 + [429] * 2


def test_known_blocks_are_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(throttle, "BLOCKED_MOST", 3)
    monkeypatch.setattr(throttle, "_blocked_until", {})
    for _ in range(10):
        address = new_address()
        for _ in range(4):
            throttle.count_wrong_token(address)
        with pytest.raises(TooManyFailures):
            throttle.count_wrong_token(address)
    assert len(throttle._blocked_until) == 3


def test_without_redis_each_process_counts_by_itself(
    api: ApiClient, address: str, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(throttle, "_redis_back_at", 0.0)
    assert [bearer("as_wrong", address).status_code for _ in range(5)] == [401] * 4 + [429]
    assert [log_in("nobody", "wrong", new_address()).status_code for _ in range(4)] == [200] * 3 + [429]


# Addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded_for", "address"),
    [
        ([], "203.0.113.9", "", "203.0.113.9"),
        ([], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (["10.0.0.0/8"], "10.0.0.2", "198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.2", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "198.51.100.1"),
        (["10.0.0.0/8"], "10.0.0.2", "6.6.6.6, nonsense, 10.0.0.3", "10.0.0.3"),
        (["10.0.0.0/8"], "10.0.0.2", "", "10.0.0.2"),
        (["10.0.0.0/8"], "::ffff:10.0.0.2", "198.51.100.1:4711", "198.51.100.1"),
        (["10.0.0.0/8", "::1"], "::1", "[2001:db8::7]:4711", "2001:db8::7"),
        (["127.0.0.1"], "", "198.51.100.1", "unknown"),
    ],
)
def test_address_is_the_last_that_no_trusted_proxy_has(
    settings: Any, trusted: list[str], peer: str, forwarded_for: str, address: str
):
    from ipaddress import ip_network

    settings.TRUSTED_PROXIES = [ip_network(network) for network in trusted]
    assert client_address.client_address(peer, forwarded_for) == address


def test_header_that_anybody_can_send_changes_nothing(account: User, api: ApiClient, address: str):
    for n in range(4):
        bearer("as_wrong", address, **{"x-forwarded-for": f"198.51.100.{n}", "forwarded": f"for=198.51.100.{n}"})
    assert bearer("as_wrong", address, **{"x-forwarded-for": "198.51.100.99"}).status_code == 429
    for n in range(6):
        log_in(
            f"nobody-{n}", "wrong", address, **{"x-forwarded-for": f"198.51.100.{n}", "x-real-ip": f"198.51.100.{n}"}
        )
    assert log_in("nobody", "wrong", address, **{"x-forwarded-for": "198.51.100.99"}).status_code == 429
