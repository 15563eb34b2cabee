"""Filters of long tables. Their choices come from what is known, or from an index: Django's own read every row."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from agents.definitions import catalog
from agents.models.run import AGENT_STATUSES
from containers.registry import ENGINES

VALUES_MOST = 50


def values(model: type[Model], field: str) -> list[str]:
    """What stands in a column, other than nothing; the first VALUES_MOST. One probe of the column's index for each,
    since neither database of ours skips along an index by itself."""
    table, column = (connection.ops.quote_name(name) for name in (model._meta.db_table, field))
    least = f"SELECT MIN({column}) FROM {table} WHERE {column} <> ''"
    walk = f"SELECT ({least} AND {column} > found.value) FROM found WHERE found.value IS NOT NULL"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE found(value) AS (SELECT ({least}) UNION ALL {walk}) "
            f"SELECT value FROM found WHERE value IS NOT NULL LIMIT {VALUES_MOST}"
        )
        return [row[0] for row in cursor.fetchall()]


class _Exactly(admin.SimpleListFilter):
    """Rows whose `parameter_name` is what was chosen."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(**{str(self.parameter_name): chosen}) if chosen and "\0" not in chosen else queryset

    def has_output(self) -> bool:
        return True


class _Column(_Exactly):
    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(value, value) for value in values(model_admin.model, str(self.parameter_name))]


class ErrorCode(_Column):
    title = "error code"
    parameter_name = "error_code"


class Outcome(_Column):
    title = "outcome"
    parameter_name = "outcome"


class _Known(_Exactly):
    known: ClassVar[tuple[str, ...]] = ()

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [(name, name) for name in self.known]


class EngineName(_Known):
    title = "engine"
    parameter_name = "engine"
    known = tuple(ENGINES)


class AgentStatus(_Known):
    title = "status"
    parameter_name = "status"
    known = AGENT_STATUSES


class DefinitionName(_Exactly):
    title = "definition"
    parameter_name = "definition"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        names = sorted({*catalog.current().definitions, *filter(None, (self.value(),))})
        return [(name, name) for name in names]


class GoesOn(admin.SimpleListFilter):
    """Attempts that have not ended, over their own index."""

    title = "whether it goes on"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("1", "goes on")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(finished_at=None) if self.value() == "1" else queryset
