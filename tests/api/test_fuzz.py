"""Whatever a client sends, the answer is a success or a clear error of the client's; never one of ours."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agents.api import execute
from agents.api.site import api as ninja_api
from agents.models import Run
from agents.runs import commands
from tests.api.conftest import ApiClient
from tests.nightly import examples

STREAMS = re.compile(r"/stream$")
EXAMPLES = examples(150)
text = st.one_of(
    st.text(max_size=30), st.sampled_from(["", "\0", "\ud800", "demo", "x" * 300, "0-0", "9" * 30, "..", "%", "'"])
)
scalar = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), text, st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308])
)
value = st.recursive(
    scalar, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4))
)
FIELDS = [
    "definition",
    "title",
    "input",
    "metadata",
    "archived",
    "strategy",
    "budget",
    "timeout_s",
    "decision",
    "reason",
]
sensible = {"definition": "demo", "input": "x", "title": "t", "decision": "approve", "timeout_s": 0.01}
body = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), value, max_size=5),
    st.dictionaries(st.sampled_from(FIELDS), value, max_size=2).map(lambda some: {**sensible, **some}),
    st.sampled_from([{"input": "x"}, {"title": "x"}, {"definition": "demo"}, {"decision": "x"}]),
    value,
)
raw = st.one_of(st.binary(max_size=60), body.map(lambda found: json.dumps(found).encode()))
query = st.dictionaries(
    st.sampled_from(["after", "limit", "type", "run", "page", "status", "q", "definition", "archived", "download"]),
    text.map(lambda found: quote(found, errors="surrogatepass")),
    max_size=3,
)
headers = st.fixed_dictionaries(
    {}, optional={"Idempotency-Key": st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=210)}
)


def operations() -> list[tuple[str, str]]:
    paths = ninja_api.get_openapi_schema(path_prefix="/api/")["paths"]
    return [(method.upper(), path) for path in paths for method in paths[path] if not STREAMS.search(path)]


@pytest.fixture
def ids(agent_id, api) -> dict[str, str]:
    run = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"})[1]["id"]
    return {"agent_id": agent_id, "run_id": run}


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_request_is_answered_with_an_error_of_ours(api: ApiClient, ids: dict[str, str], monkeypatch) -> None:
    async def as_it_is(run: Run, *_: object) -> Run:
        return run

    monkeypatch.setattr(commands, "delete_agent", lambda agent: None)  # the next example wants it still
    monkeypatch.setattr(commands, "COMMIT_PATIENCE_S", 0)
    monkeypatch.setattr(execute, "_ended", as_it_is)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        database=None,
    )
    @given(st.data())
    def send(data: st.DataObject) -> None:
        method, path = data.draw(st.sampled_from(operations()))
        known = data.draw(st.booleans()) or data.draw(st.booleans())
        for name in re.findall(r"{(\w+)}", path):
            given_id = ids[name] if known and name in ids else data.draw(text)
            path = path.replace(f"{{{name}}}", quote(given_id, errors="surrogatepass"))
        parameters = "&".join(f"{name}={found}" for name, found in data.draw(query).items())
        content = data.draw(raw) if method in ("POST", "PUT", "PATCH") else b""
        response = api.send(method, f"{path}?{parameters}", content, **data.draw(headers))
        answered(response)

    send()


def answered(response: Any) -> None:
    assert response.status_code < 500, (response.status_code, response.content)
    if response.status_code >= 400:
        error = json.loads(response.content)["error"]
        assert error["code"] == error["code"].lower()
        assert error["message"]
    response.close()
