"""What is wrong with a request, a definition or a setting is said in plain English, for whatever pydantic can find."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import core_schema

from agents.api import events
from agents.definitions.definition import Definition
from agents.http import schemas
from agents.transfer.lines import _KINDS as IMPORTED
from agents.transfer.lines import EventLine
from agentsite.environment import Environment
from streaming.model.events import SCHEMA
from streaming.model.validation import plain_problems

BAD: list[Any] = [
    None, 5, -1, 0, 10**400, 1.5, math.inf, math.nan, True, "", "x", "x" * 5000, "\0", [], [5], ["x"] * 1001,
    {}, {"a": 5},
]  # fmt: skip
PEDANTIC = ("Input should", "Field required", "Extra inputs", "Value error", "permitted", "String should", "should")


def subclasses(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield kind
    for below in kind.__subclasses__():
        yield from subclasses(below)


MODELS: list[type[BaseModel]] = [
    *list(subclasses(schemas.Body))[1:],
    schemas.PageQuery, events.EventQuery, events.StreamQuery, events.RunStreamQuery,
    Definition, Environment, EventLine, *IMPORTED.values(), *SCHEMA.values(),
]  # fmt: skip


def errors_of(model: type[BaseModel], value: Any) -> list[Mapping[str, Any]]:
    try:
        model.model_validate(value)
    except ValidationError as error:
        return list(error.errors(include_url=False))
    return []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_error_that_a_schema_can_give_is_said_in_plain_english(model: type[BaseModel]) -> None:
    cases: list[Any] = [*BAD, {"no-such-field": 1}]
    for value in BAD:
        inner = dict.fromkeys(("cpus", "tokens", "exceeded", "path", "status"), value)
        cases += [dict.fromkeys(model.model_fields, value), dict.fromkeys(model.model_fields, inner)]
    found = [error for case in cases for error in errors_of(model, case)]
    assert found
    for error in found:
        ((path, message),) = plain_problems([error])
        assert message, error
        assert message != "is not valid", error
        assert "{" not in message, (error, message)
        assert not any(words in message for words in PEDANTIC), (error["type"], message)
        assert not any(part.startswith(("list[", "literal[", "function-")) for part in path), path


def test_no_kind_of_error_that_pydantic_knows_is_handed_on_in_its_own_words() -> None:
    for type_ in get_args(core_schema.ErrorType):
        error = {"type": type_, "loc": ("field",), "msg": "Input should be as pydantic says", "ctx": {"error": "no"}}
        context = dict.fromkeys(("gt", "ge", "lt", "le", "min_length", "max_length", "multiple_of"), 7)
        ((_, message),) = plain_problems(
            [{**error, "ctx": {**context, "error": "no", "expected": "a", "pattern": "b"}}]
        )
        assert "should" not in message, type_


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ({"type": "string_too_short", "ctx": {"min_length": 1}}, "must not be empty"),
        ({"type": "string_too_long", "ctx": {"max_length": 1000}}, "must have at most 1,000 characters"),
        ({"type": "model_type"}, "must be an object"),
        ({"type": "greater_than_equal", "ctx": {"ge": 1}}, "must be at least 1"),
        ({"type": "int_from_float"}, "must be a whole number"),
        ({"type": "datetime_from_date_parsing"}, "must be a date and time, as 2026-11-20T12:00:00Z"),
    ],
)
def test_messages_read_as_a_person_would_write_them(error: dict[str, Any], says: str) -> None:
    assert plain_problems([{"loc": ("field",), "msg": "raw", **error}]) == [(("field",), says)]
