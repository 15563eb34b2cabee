"""/api/openapi.json and /api/docs"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from agents.api.events import StreamFrame
from agents.http import problems
from streaming.http.dialects import FORMATS
from streaming.model.events import SCHEMA
from tests.api.conftest import ApiClient

REPOSITORY = Path(__file__).parents[2]
GOLDEN = REPOSITORY / "tests" / "golden"
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


def test_everything_is_described(schema):
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), (method, path)
            for parameter in operation.get("parameters", []):
                described = parameter.get("description") or parameter["schema"].get("description")
                assert described, (method, path, parameter["name"])
    assert [name for name, found in schema["components"]["schemas"].items() if not found.get("description")] == []


def test_each_type_of_event_has_a_schema_of_its_own(schema):
    schemas = schema["components"]["schemas"]
    union = schemas["EventPage"]["properties"]["events"]["items"]
    mapping = union["discriminator"]["mapping"]
    assert union["discriminator"]["propertyName"] == "type"
    assert set(mapping) == set(SCHEMA)
    assert {one["$ref"] for one in union["oneOf"]} == set(mapping.values())
    for type_, reference in mapping.items():
        event = schemas[reference.rpartition("/")[2]]
        assert event["properties"]["type"]["const"] == type_
        data = schemas[event["properties"]["data"]["$ref"].rpartition("/")[2]]
        assert set(data["properties"]) == set(SCHEMA[type_].model_fields)


def test_a_frame_of_a_stream_has_a_schema(schema):
    stream = schema["paths"]["/api/agents/{agent_id}/stream"]["get"]["responses"]["200"]["content"]
    content = stream["text/event-stream"]["schema"]["contentSchema"]
    assert content == {"$ref": "#/components/schemas/StreamFrame"}
    frame = json.dumps(schema["components"]["schemas"]["StreamFrame"])
    assert all(f"#/components/schemas/{name}" in frame for name in ("SnapshotFrame", "ResetFrame", "TextEvent"))


def test_the_golden_logs_are_as_the_schema_says():
    checked: TypeAdapter[Any] = TypeAdapter(StreamFrame)
    lines = [line for path in GOLDEN.glob("*.jsonl") for line in path.read_text().split("\n") if line]
    assert len(lines) > 100
    for line in lines:
        checked.validate_json(line, strict=False)


def test_every_code_of_an_error_is_listed(schema):
    described = schema["components"]["schemas"]["ErrorBody"]["properties"]["code"]["description"]
    table = (REPOSITORY / "docs" / "errors.md").read_text().partition("Of the HTTP API")[2]
    for code in problems.error_statuses():
        assert f"`{code}`" in described
        assert f"`{code}`" in table, "docs/errors.md"


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


def test_every_body_has_a_type_that_generators_of_clients_know(schema):
    """openapi-python-client leaves out what it knows no type for: an upload that way, and answers of an export."""
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            for part in (operation.get("requestBody"), *operation["responses"].values()):
                types = set((part or {}).get("content", ()))
                known = {"application/json", "application/octet-stream", "text/event-stream"}
                assert types & known or not types, (path, types)


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
