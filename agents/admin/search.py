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

from agents.ids import id_range

SEARCHED_MOST = 10_000
HELP = f"Ids, or how they begin, are found anywhere; text in the newest {SEARCHED_MOST:,} (with the filters applied)."


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
    if ids is not None:
        # Beside text in one condition they could use no index.
        named = queryset.filter(reduce(or_, (Q(**{f"{name}__range": ids}) for name in id_fields)))
        if named.exists():
            return named
    newest = queryset.order_by(*ordering).values("pk")[:SEARCHED_MOST]
    says = reduce(or_, (Q(**{f"{name}__icontains": term}) for name in text_fields))
    return queryset.filter(pk__in=newest).filter(says)
