"""Stream tickets, and what pages of other origins may do."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from agents.asgi.cross_origin import CrossOrigin
from agents.asgi.stream_gate import AgentGate
from agents.auth import stream_tickets
from agents.auth.credentials import Credential, Identity
from agents.auth.grants import Grant, ended
from agents.auth.permissions import agent_for
from agents.models import ApiToken, StreamTicket
from streaming.http.problem import Problem
from streaming.http.sse import Wanted, answer
from streaming.model.cursor import Cursor
from tests.api.conftest import ApiClient, problem

APP = "https://app.example.org"


@pytest.fixture(autouse=True)
def other_origin(settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [APP]


def ticket_for(api: ApiClient, agent_id: str, **headers: str) -> str:
    status, body = api.call("POST", f"/api/agents/{agent_id}/stream-ticket", **headers)
    assert status == 200, body
    assert set(body) == {"ticket", "expires_at"}
    made: str = body["ticket"]
    return made


def scope_of(agent_id: str, query: str, origin: str | None, method: str = "GET") -> dict[str, Any]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": f"/api/agents/{agent_id}/stream",
        "query_string": query.encode(),
        "headers": [(b"host", b"testserver")] + ([(b"origin", origin.encode())] if origin is not None else []),
        "url_route": {"kwargs": {"agent_id": agent_id}},
    }
    stream_tickets.hide(scope)
    return scope


async def nothing() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def opened(agent_id: str, ticket: str, origin: str | None = APP, method: str = "GET") -> Wanted:
    """What the stream's gate says. Raises Problem."""
    return asyncio.run(AgentGate().open(scope_of(agent_id, f"ticket={ticket}&after=1-2", origin, method), nothing))


def refused(agent_id: str, ticket: str, origin: str | None = APP, method: str = "GET") -> int:
    with pytest.raises(Problem) as caught:
        opened(agent_id, ticket, origin, method)
    return caught.value.status


def test_a_ticket_opens_the_stream_of_its_agent_again_and_again(api, agent_id):
    ticket = ticket_for(api, agent_id, Origin=APP)
    for _ in range(3):
        assert opened(agent_id, ticket).cursor == Cursor(1, 2)
    assert ticket not in str(list(StreamTicket.objects.values()))


def test_a_ticket_is_for_one_agent_one_origin_and_reading(api, agent_id):
    _, other = api.call("POST", "/api/agents", {"definition": "demo"})
    ticket = ticket_for(api, agent_id, Origin=APP)
    assert refused(other["id"], ticket) == 404
    assert refused(agent_id, ticket, "https://elsewhere.example") == 401
    assert refused(agent_id, ticket, None) == 401
    assert refused(agent_id, ticket, "http://testserver") == 401
    assert refused(agent_id, ticket, method="POST") == 401
    assert refused(agent_id, ticket + "x") == 401
    assert refused(agent_id, "as_" + ticket) == 401
    assert ApiClient(ticket).call("GET", f"/api/agents/{agent_id}")[0] == 401


def test_a_ticket_of_the_sites_own_pages_is_for_them_whether_or_not_they_send_an_origin(api, agent_id):
    ticket = ticket_for(api, agent_id, Origin="http://testserver")
    opened(agent_id, ticket, None)
    opened(agent_id, ticket, "http://testserver")
    assert refused(agent_id, ticket, APP) == 401


def test_a_ticket_is_used_for_the_first_time_within_a_minute_or_never(api, agent_id):
    late, soon = (ticket_for(api, agent_id, Origin=APP) for _ in range(2))
    opened(agent_id, soon)
    StreamTicket.objects.update(connect_by=Now() - timedelta(seconds=1))
    opened(agent_id, soon)
    assert refused(agent_id, late) == 401
    StreamTicket.objects.update(expires_at=Now())
    assert refused(agent_id, soon) == 401


def test_tickets_that_are_over_are_removed_with_the_next(api, agent_id):
    for _ in range(3):
        ticket_for(api, agent_id, Origin=APP)
    StreamTicket.objects.update(connect_by=Now())
    ticket_for(api, agent_id, Origin=APP)
    assert StreamTicket.objects.count() == 1


@pytest.mark.parametrize("way", ["deleted token", "expired token", "inactive user", "expired ticket", "lost agent"])
def test_a_ticket_ends_with_its_owners_access(api, user, agent_id, way):
    ticket = ticket_for(api, agent_id, Origin=APP)
    opened(agent_id, ticket)
    grant = Grant(Credential("ticket", str(StreamTicket.objects.get().pk)), user.pk, agent_id)
    assert ended([grant]) == set()
    if way == "deleted token":
        ApiToken.objects.get().delete()
    elif way == "expired token":
        ApiToken.objects.update(expires_at=Now())
    elif way == "inactive user":
        User.objects.update(is_active=False)
    elif way == "expired ticket":
        StreamTicket.objects.update(expires_at=Now())
    else:
        user.agents.update(owner=User.objects.create(username="heir"))
    assert ended([grant]) == {grant}
    assert refused(agent_id, ticket) in (401, 404)


def test_a_ticket_of_a_session_ends_with_the_session(api, user, agent_id):
    browser = Client()
    browser.force_login(user)
    identity = Identity(user, Credential("session", browser.cookies["sessionid"].value))
    ticket, _ = stream_tickets.create(identity, agent_for(user, agent_id), APP)
    opened(agent_id, ticket)
    browser.logout()
    assert refused(agent_id, ticket) == 401


def test_a_page_of_an_origin_that_is_not_named_gets_no_ticket(api, agent_id):
    path = f"/api/agents/{agent_id}/stream-ticket"
    assert problem(api.call("POST", path, Origin="https://elsewhere.example")) == (403, "origin-not-allowed")


def test_a_ticket_leaves_the_address_before_anybody_can_log_it():
    scope = scope_of("x", "after=1-2&ticket=st_a&ticket=st_b&q=%ff+a", None)
    assert scope["query_string"] == b"after=1-2&q=%FF+a"
    assert scope[stream_tickets.IN_SCOPE] == "st_b"


# The API from another origin ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("origin", "allowed"), [(APP, APP), ("https://elsewhere.example", None)])
def test_named_origins_may_call_the_api_without_credentials(api, agent_id, origin, allowed):
    response = api.send("GET", f"/api/agents/{agent_id}", Origin=origin)
    assert response.headers.get("Access-Control-Allow-Origin") == allowed
    assert "Access-Control-Allow-Credentials" not in response.headers
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}
    preflight = Client().options(f"/api/agents/{agent_id}/runs", headers={"Origin": origin, **asked})
    assert preflight.headers.get("Access-Control-Allow-Origin") == allowed
    if allowed:
        assert "idempotency-key" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in Client().get("/login/", headers={"Origin": origin}).headers


def test_from_another_origin_the_login_session_counts_for_nothing(user, agent_id):
    browser = Client()
    browser.force_login(user)
    path = f"/api/agents/{agent_id}"
    assert browser.get(path).status_code == 200
    assert browser.get(path, headers={"Origin": "http://testserver"}).status_code == 200
    assert browser.get(path, headers={"Origin": APP}).status_code == 401


@pytest.mark.parametrize(("origin", "allowed"), [(APP, [APP.encode()]), ("https://elsewhere.example", []), (None, [])])
def test_streams_name_the_origin_that_may_read_them(origin, allowed):
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, Problem(404, "not-found", "no such agent"))

    asyncio.run(CrossOrigin(application, application)(scope_of("x", "", origin), nothing, send))
    assert [value for name, value in sent[0]["headers"] if name == b"access-control-allow-origin"] == allowed
