"""The NinjaAPI object: every route, who may call, and how errors look."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja import NinjaAPI
from ninja.openapi.schema import REF_TEMPLATE, OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

from agents.api import agents, definitions, errors, events, execute, files, runs, transfer
from agents.api.auth import BearerToken, LoginSession
from agents.api.docs import LocalSwagger
from agents.api.errors import MediaTypeWrong
from agents.api.parsing import parse_json
from agents.api.schemas import ErrorAnswer

DESCRIPTION = """\
Agents, their runs, their logs and their files. Call it with `Authorization: Bearer <token>`, or from a page of this
site with the login session and its CSRF token in `X-CSRFToken`. Errors are
`{"error": {"code", "message", "details"?}}`; `details.field` names the field that
is to blame. 503 comes with `Retry-After`.
"""


class StrictJson(Parser):
    """JSON as RFC 8259 has it: no NaN, and no guessing what else a body may be."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Ninja wraps what this raises; agents.api.errors unwraps it."""
        if request.content_type != "application/json":
            raise MediaTypeWrong("send the body as application/json")
        return parse_json(request.body)


class Api(NinjaAPI):
    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """Ninja's, and the one shape of every error added to every operation."""
        schema = super().get_openapi_schema(**kwargs)
        errors_of = ErrorAnswer.model_json_schema(ref_template=REF_TEMPLATE)
        schema["components"]["schemas"] |= {**errors_of.pop("$defs"), "ErrorAnswer": errors_of}
        reference = {"schema": {"$ref": REF_TEMPLATE.format(model="ErrorAnswer")}}
        wrong = {"description": "What went wrong.", "content": {"application/json": reference}}
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].setdefault("default", wrong)
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
errors.install(api)
for module in (definitions, transfer, agents, runs, execute, events, files):
    api.add_router("", module.router)
