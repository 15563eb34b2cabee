"""The catalog of definitions as a page. It is a file (`agents.toml`), so it is shown and not edited here."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from agents.definitions import catalog


def definitions_page(request: HttpRequest) -> HttpResponse:
    known = catalog.current()
    context = {
        **admin.site.each_context(request),
        "title": "Definitions",
        "definitions": list(known.definitions.values()),
        "invalid": dict(known.invalid),
        "problem": known.problem if known.is_stale else None,
    }
    return render(request, "admin/agents/definitions.html", context)
