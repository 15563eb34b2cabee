"""The NinjaAPI object: every route, who may call, and how errors look."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

from agents.api import agents, calls, definitions, events, execute, files, messages, runs, transfer
from agents.api.auth import BearerToken, LoginSession
from agents.api.docs import LocalSwagger
from agents.api.events import StreamFrame
from agents.http import problems
from agents.http.json_body import parse_json, require_json
from agents.http.schemas import ErrorAnswer

DESCRIPTION = """\
Agents, their runs, their logs and their files. Call it with `Authorization: Bearer <token>`, or from a page of this
site with the login session and its CSRF token in `X-CSRFToken`. Errors are
`{"error": {"code", "message", "details"?}}`; `details.field` names the field that
is to blame. 503 comes with `Retry-After`.
"""


PARAMETERS = {
    "agent_id": "The agent's id.",
    "run_id": "The run's id.",
    "call_id": "As the event `tool-call` has it.",
    "approval_id": "As the event `approval-request` has it.",
    "Idempotency-Key": "Yours to choose: sent again with it, a request answers what it made the first time.",
    "path": "Of the file, from the workspace: `data/input.csv`.",
}


class StrictJson(Parser):
    """Takes JSON as RFC 8259 defines it, and nothing else."""

    def parse_body(self, request: HttpRequest) -> Any:
        # Ninja wraps exceptions of a parser in its own; agents.http.problems unwraps them.
        require_json(request.content_type or "")
        return parse_json(request.body)


class Api(NinjaAPI):
    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """Ninja's, with what it does not know: frames of streams, and the one shape of every error."""
        schema = super().get_openapi_schema(**kwargs)
        for model in (ErrorAnswer, StreamFrame):
            described = model.model_json_schema(ref_template=REF_TEMPLATE)
            schema["components"]["schemas"] |= {**described.pop("$defs"), model.__name__: described}
        codes = ", ".join(f"`{code}` ({status})" for code, status in sorted(problems.error_statuses().items()))
        schema["components"]["schemas"]["ErrorBody"]["properties"]["code"]["description"] = f"One of: {codes}."
        reference = {"schema": {"$ref": REF_TEMPLATE.format(model="ErrorAnswer")}}
        wrong = {"description": "What went wrong.", "content": {"application/json": reference}}
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].setdefault("default", wrong)
                for parameter in operation.get("parameters", []):
                    if parameter["name"] in PARAMETERS:
                        parameter["description"] = PARAMETERS[parameter["name"]]
        return schema

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


api = Api(
    title="Agentsite",
    version="1",
    description=DESCRIPTION,
    docs=LocalSwagger(),
    auth=[BearerToken(), LoginSession()],
    parser=StrictJson(),
    urls_namespace="api",
)
problems.install_error_handlers(api)
for module in (definitions, transfer, agents, runs, calls, execute, events, messages, files):
    api.add_router("", module.router)
