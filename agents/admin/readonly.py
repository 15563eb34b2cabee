"""History: it can be looked at, by those who may view it, and edited by nobody."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.search import search
from agents.admin.uncounted import UncountedList


class ReadOnly:
    """For admins and inlines. Comes first among the bases."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class HistoryAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Its list costs the same however many rows there are: newest first, counted by nobody, filters over indexes, text
    looked for in the newest rows. `newest_by` is an order that an index has. `id_fields` hold ids that are found
    anywhere; `search_fields` hold text."""

    id_fields: ClassVar[tuple[str, ...]] = ("pk",)
    newest_by: ClassVar[tuple[str, ...]] = ("-pk",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count
    sortable_by = ()
    list_per_page = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return UncountedList

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        return self.newest_by

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        found = search(queryset, search_term, self.id_fields, self.search_fields, self.newest_by)
        return found, False
