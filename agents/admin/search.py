"""Searching long tables: ids by their index, text only in the newest rows.

An index for text would need an extension of PostgreSQL, and every prompt would be written a second time.
tests/admin/test_million.py says what it costs with a million runs.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce
from operator import or_
from typing import Any

from django.db.models import Q, QuerySet

from agents.runs.id_prefix import id_range

SEARCHED_MOST = 10_000
HELP = (
    f"Ids, and how its own begins, are found anywhere; text in the newest {SEARCHED_MOST:,} (with the filters applied)."
)


def search(
    queryset: QuerySet[Any],
    term: str,
    id_fields: Collection[str],
    text_fields: Collection[str],
    ordering: Collection[str],
) -> QuerySet[Any]:
    """`queryset` has the filters; `ordering` is newest first, and that of an index."""
    term = term.replace("\0", "").strip()
    if not term:
        return queryset
    ids = id_range(term)
    if ids is not None and ids[0] == ids[1]:  # one condition with text could use no index
        return queryset.filter(reduce(or_, (Q(**{name: ids[0]}) for name in id_fields)))
    if ids is not None:
        named = queryset.filter(pk__range=ids)
        if named.order_by("-pk").exists():
            return named
    says = reduce(or_, (Q(**{f"{name}__icontains": term}) for name in text_fields))
    return _newest(queryset, ordering).filter(says)


def _newest(queryset: QuerySet[Any], ordering: Collection[str]) -> QuerySet[Any]:
    """By the edge of the newest rows: named one by one, they would be joined to the whole table."""
    newest = queryset.order_by(*ordering)
    name = next(iter(ordering)).removeprefix("-")
    edge = list(newest.values_list(name, flat=True)[SEARCHED_MOST - 1 : SEARCHED_MOST])
    return queryset.filter(**{f"{name}__gte": edge[0]}) if edge else queryset
