"""A list of the admin that counts nothing: one query for a page, and one row more to know whether there is another."""

from __future__ import annotations

from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest

PAGES_MOST = 200
"""Who would look further narrows the list: rows that are passed over cost as much as rows that are shown."""


class UncountedList(ChangeList):
    """`templates/admin/agents/pagination.html` shows `newer` and `older` in place of numbers."""

    is_uncounted = True

    def get_results(self, request: HttpRequest) -> None:
        self.page_num = min(max(1, self.page_num), PAGES_MOST)
        first = (self.page_num - 1) * self.list_per_page
        found = list(self.queryset[first : first + self.list_per_page + 1])
        has_more = len(found) > self.list_per_page
        self.result_list = found[: self.list_per_page]
        # Django offers to act on all rows where there are more than it shows; here that is on none but these.
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = True
        self.is_last = has_more and self.page_num == PAGES_MOST
        self.older = self._page(self.page_num + 1) if has_more and not self.is_last else ""
        self.newer = self._page(self.page_num - 1) if self.page_num > 1 else ""

    def get_ordering(self, request: HttpRequest, queryset: QuerySet) -> list[str | Combinable]:  # type: ignore[type-arg]  # not generic at run time
        """The admin's, whatever the address says: for that one there is an index."""
        return list(self.model_admin.get_ordering(request))

    def _page(self, number: int) -> str:
        return self.get_query_string({PAGE_VAR: number})
