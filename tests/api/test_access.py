"""Who is asking: tokens, sessions, login links."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils import timezone

from agents.auth import credentials
from agents.auth.permissions import agent_for
from agents.errors import NotAuthenticated, NotFound
from agents.models import Agent, ApiToken, LoginLink

pytestmark = pytest.mark.django_db
PEER = "192.0.2.1"


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ada")


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


# Tokens ------------------------------------------------------------------------------------------------------------


def test_a_token_says_whose_it_is_and_is_not_stored(user):
    token = credentials.create_token(user, "laptop")
    assert token.startswith("as_")
    assert len(token) >= 3 + 43
    assert credentials.user_of_token(token) == user
    assert token not in str(list(ApiToken.objects.values()))


@pytest.mark.parametrize(
    "token", ["", "as_", "as_nobody", "nonsense", "as_" + "x" * 10_000, "as_\0", "as_\udcff", "as_é"]
)
def test_no_token_of_ours_says_nothing(token):
    assert credentials.user_of_token(token) is None


def test_the_hash_is_no_token(user):
    token = credentials.create_token(user, "laptop")
    assert credentials.user_of_token(credentials.hash_token(token)) is None
    assert credentials.user_of_token("as_" + credentials.hash_token(token)) is None


def test_a_token_of_an_inactive_user_is_refused(user):
    token = credentials.create_token(user, "laptop")
    user.is_active = False
    user.save()
    assert credentials.user_of_token(token) is None


def test_last_use_is_noted_at_most_once_a_minute(user, django_assert_num_queries):
    token = credentials.create_token(user, "laptop")
    credentials.user_of_token(token)
    noted = ApiToken.objects.get().last_used_at
    assert noted is not None
    with django_assert_num_queries(1):
        credentials.user_of_token(token)
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    credentials.user_of_token(token)
    assert (ApiToken.objects.get().last_used_at or noted) > noted


# Sessions and headers ----------------------------------------------------------------------------------------------


def test_a_session_says_whose_it_is_until_the_password_changes(user):
    key = session_of(user)
    assert credentials.user_of_session(key) == user
    user.set_password("another long password")
    user.save()
    assert credentials.user_of_session(key) is None


@pytest.mark.parametrize("key", ["", "nobody", "x" * 10_000, "\0", "../../etc/passwd", "\udcff"])
def test_no_session_of_ours_says_nothing(key):
    assert credentials.user_of_session(key) is None


def test_a_session_of_an_inactive_user_is_refused(user):
    key = session_of(user)
    user.is_active = False
    user.save()
    assert credentials.user_of_session(key) is None


def test_identify_takes_a_bearer_token_without_csrf(user):
    token = credentials.create_token(user, "laptop")
    found = credentials.identify([(b"Authorization", f"bearer  {token} ".encode())], PEER)
    token_id = str(ApiToken.objects.get().pk)
    assert found == credentials.Identity(user, credentials.Credential("token", token_id))
    assert not found.check_csrf


def test_identify_takes_a_session_and_wants_csrf(user):
    key = session_of(user)
    found = credentials.identify([(b"cookie", f"other=1; sessionid={key}".encode())], PEER)
    assert found == credentials.Identity(user, credentials.Credential("session", key))
    assert found.check_csrf


def test_a_wrong_token_is_not_made_good_by_a_session(user):
    headers = [(b"authorization", b"Bearer as_wrong"), (b"cookie", f"sessionid={session_of(user)}".encode())]
    with pytest.raises(NotAuthenticated, match="not known"):
        credentials.identify(headers, PEER)


@pytest.mark.parametrize(
    "headers",
    [[(b"authorization", b"\xff\xfe")], [(b"authorization", b"Basic x")], [(b"authorization", b"Bearer \xff")]],
)
def test_identify_refuses_any_bytes_for_a_token(headers):
    with pytest.raises(NotAuthenticated):
        credentials.identify(headers, PEER)


@pytest.mark.parametrize("headers", [[], [(b"cookie", b"sessionid=\xff")], [(b"cookie", b"\xff")]])
def test_identify_takes_any_bytes_for_a_session(headers):
    assert credentials.identify(headers, PEER) is None


# CSRF --------------------------------------------------------------------------------------------------------------


def scope(method: str, headers: list[tuple[bytes, bytes]]) -> dict[str, object]:
    return {
        "type": "http",
        "method": method,
        "path": "/api/agents/x/stream",
        "headers": [(b"host", b"testserver"), *headers],
        "query_string": b"",
        "server": ("testserver", 80),
    }


def test_a_request_with_cookie_and_header_passes_the_csrf_check():
    client = Client()
    client.cookies["csrftoken"] = token = "a" * 32
    headers = [(b"cookie", f"csrftoken={token}".encode()), (b"x-csrftoken", token.encode())]
    assert credentials.csrf_problem_of(scope("POST", headers)) is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"cookie", b"csrftoken=" + b"a" * 32)],
        [(b"cookie", b"csrftoken=" + b"a" * 32), (b"x-csrftoken", b"b" * 32)],
        [
            (b"cookie", b"csrftoken=" + b"a" * 32),
            (b"x-csrftoken", b"a" * 32),
            (b"origin", b"https://elsewhere.example"),
        ],
    ],
)
def test_a_request_from_elsewhere_fails_the_csrf_check(headers):
    assert credentials.csrf_problem_of(scope("POST", headers))


def test_safe_methods_need_no_csrf():
    assert credentials.csrf_problem_of(scope("GET", [])) is None


# Login links -------------------------------------------------------------------------------------------------------


def test_a_login_link_works_once(user):
    token = credentials.create_login_link(user, timedelta(minutes=5))
    assert token not in str(list(LoginLink.objects.values()))
    assert credentials.redeem_login_link(token) == user
    assert credentials.redeem_login_link(token) is None


def test_an_old_unknown_or_inactive_login_link_is_refused(user):
    old = credentials.create_login_link(user, timedelta(seconds=-1))
    assert credentials.redeem_login_link(old) is None
    assert credentials.redeem_login_link("\0\udcff") is None
    fresh = credentials.create_login_link(user, timedelta(minutes=5))
    user.is_active = False
    user.save()
    assert credentials.redeem_login_link(fresh) is None


@pytest.mark.django_db(transaction=True)
def test_of_two_who_use_a_login_link_at_once_one_gets_in(user):
    token = credentials.create_login_link(user, timedelta(minutes=5))

    def redeem(_: int) -> User | None:
        try:
            return credentials.redeem_login_link(token)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sum(found is not None for found in threads.map(redeem, range(8))) == 1


# Agents ------------------------------------------------------------------------------------------------------------


def test_agent_for_finds_ones_own(user):
    agent = Agent.objects.create(owner=user, definition="demo")
    assert agent_for(user, agent.pk) == agent
    assert agent_for(user, str(agent.pk).upper()) == agent


def test_agent_for_tells_no_difference_between_missing_and_somebody_elses(user):
    other = User.objects.create_user("eve")
    agent = Agent.objects.create(owner=other, definition="demo")
    for agent_id in (str(agent.pk), str(uuid.uuid4())):
        with pytest.raises(NotFound, match="no such agent"):
            agent_for(user, agent_id)


@pytest.mark.parametrize("agent_id", ["", "x", "\0", "\udcff", "1" * 10_000, "{0}", "urn:uuid:{0}", "\u0660" * 32])
def test_agent_for_refuses_what_is_no_id(user, agent_id):
    agent = Agent.objects.create(owner=user, definition="demo")
    with pytest.raises(NotFound):
        agent_for(user, agent_id.replace("{0}", "{" + str(agent.pk) + "}"))
