"""The browsable page of the API: Swagger UI from the files that come with django-ninja, served by ourselves.

Its stock page loads scripts from a CDN unless ninja is an installed app. Ours asks nobody else, and needs no exception
from the site's content security policy: no inline script, no inline style.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ninja
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.utils.html import format_html
from django.utils.safestring import mark_safe
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from agents.http.problems import respond_not_found

FOLDER = Path(ninja.__file__).parent / "static" / "ninja"
ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui-init.js": "text/javascript",
    "favicon.svg": "image/svg+xml",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{base}favicon.svg">
<link rel="stylesheet" href="{base}swagger-ui.css">
</head>
<body data-csrf-token="{csrf_token}" data-api-csrf="true">
<script type="application/json" id="swagger-settings">{settings}</script>
<div id="swagger-ui"><noscript>This page needs JavaScript; the description itself is at <a href="{url}">{url}</a>.
</noscript></div>
<script src="{base}swagger-ui-bundle.js"></script>
<script src="{base}swagger-ui-init.js"></script>
</body>
</html>
"""


class LocalSwagger(DocsBase):
    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        url = self.get_openapi_url(api, kwargs)
        settings = {"url": url, "layout": "BaseLayout", "deepLinking": True}
        page = format_html(
            _PAGE,
            title=api.title,
            url=url,
            base=f"{request.path.rstrip('/')}/",
            csrf_token=get_token(request),
            # A script element's text is not unescaped by browsers; this one holds nothing but what is written above.
            settings=mark_safe(json.dumps(settings).replace("<", "\\u003c")),
        )
        return HttpResponse(page)


def asset(request: HttpRequest, name: str) -> HttpResponse:
    """One of Swagger UI's files."""
    if name not in ASSETS:
        return respond_not_found(request)
    content = (FOLDER / name).read_bytes()
    return HttpResponse(content, content_type=ASSETS[name], headers={"Cache-Control": "public, max-age=86400"})
