"""/api/openapi.json and /api/docs"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from streaming.dialects import FORMATS
from tests.api.conftest import ApiClient

CALLS = {
    "/api/definitions": {"get"},
    "/api/models": {"get"},
    "/api/mcp-servers": {"get"},
    "/api/providers": {"get"},
    "/api/agents": {"get", "post"},
    "/api/agents/{agent_id}": {"get", "patch", "delete"},
    "/api/agents/{agent_id}/snapshot": {"get"},
    "/api/agents/{agent_id}/events": {"get"},
    "/api/agents/{agent_id}/stream": {"get", "post"},
    "/api/agents/{agent_id}/runs": {"get", "post"},
    "/api/agents/{agent_id}/execute": {"post"},
    "/api/agents/{agent_id}/files": {"get"},
    "/api/agents/{agent_id}/files/{path}": {"get", "put", "delete"},
    "/api/runs/{run_id}": {"get"},
    "/api/runs/{run_id}/cancel": {"post"},
    "/api/runs/{run_id}/retry": {"post"},
    "/api/runs/{run_id}/move": {"post"},
    "/api/runs/{run_id}/approvals/{approval_id}": {"post"},
}


@pytest.fixture
def schema(db) -> dict[str, Any]:
    found: dict[str, Any] = ApiClient().get("/api/openapi.json")
    return found


def test_every_call_of_the_contract_is_described(schema):
    described = {path: set(operations) for path, operations in schema["paths"].items()}
    assert {path: described.get(path, set()) & methods for path, methods in CALLS.items()} == CALLS


def test_every_operation_has_a_name_of_its_own_and_says_how_it_fails(schema):
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        reference = operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
        assert reference.rpartition("/")[2] in schema["components"]["schemas"]


def test_every_reference_leads_somewhere(schema):
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(schema)):
        found: Any = schema
        for part in reference.split("/"):
            found = found[part]


def test_stream_upload_and_download_say_their_media_types(schema):
    paths = schema["paths"]
    stream = paths["/api/agents/{agent_id}/stream"]
    assert "text/event-stream" in stream["get"]["responses"]["200"]["content"]
    assert {parameter["name"] for parameter in stream["get"]["parameters"]} >= {"Last-Event-ID", "after", "until"}
    for method in ("get", "post"):
        format_ = next(parameter for parameter in stream[method]["parameters"] if parameter["name"] == "format")
        assert format_["schema"]["enum"] == list(FORMATS)
    file = paths["/api/agents/{agent_id}/files/{path}"]
    assert "application/octet-stream" in file["put"]["requestBody"]["content"]
    assert "application/octet-stream" in file["get"]["responses"]["200"]["content"]


def test_the_docs_page_asks_nobody_else_and_runs_nothing_inline(db):
    response = ApiClient().send("GET", "/api/docs")
    page = response.content.decode()
    assert re.findall(r'(?:src|href)="([^"]+)"', page)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert address.startswith("/api/")
        assert ApiClient().send("GET", address).status_code == 200
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*(src=|application/json))", page)
    assert "style=" not in page


@pytest.fixture(scope="session")
def base_url() -> None:
    """pytest-base-url's own fixture is written in a way that pytest 9 warns of, and warnings are errors."""
