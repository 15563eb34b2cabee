from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agents.auth import credentials
from agents.models import ApiToken


@admin.register(ApiToken)
class ApiTokenAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Made, shown once, revoked (deleted). Never changed: what a token may do is what its user may."""

    list_display = ("name", "user", "created_at", "last_used_at", "expires_at")
    list_filter = ("created_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    fields = ("user", "name", "created_at", "last_used_at", "expires_at")
    autocomplete_fields = ("user",)

    def has_change_permission(self, request: HttpRequest, obj: ApiToken | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return ("user", "name", "expires_at") if obj is None else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return () if obj is None else self.fields

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        token = credentials.new_token()
        obj.sha256 = credentials.hash_token(token)
        super().save_model(request, obj, form, change)
        request.new_token = token  # type: ignore[attr-defined]  # ours, for the answer to this request

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        """The only page that ever shows the token. It is in no message, no session and no cache."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API token",
            "opts": self.model._meta,
            "token": request.new_token,  # type: ignore[attr-defined]  # ours, for the answer to this request
            "row": obj,
        }
        headers = {"Cache-Control": "no-store"}
        return TemplateResponse(request, "admin/agents/apitoken/created.html", context, headers=headers)
