from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.admin.definitions import definitions_page
from agents.admin.readonly import HistoryAdmin
from agents.models import Agent


@admin.register(Agent)
class AgentAdmin(HistoryAdmin):
    list_display = ("__str__", "definition", "owner", "status", "updated_at", "runs_link")
    list_filter = ("status", "definition", "updated_at")
    list_select_related = ("owner",)
    search_fields = ("id", "title", "owner__username")
    date_hierarchy = None
    fields = (
        "id",
        "title",
        "definition",
        "owner",
        "status",
        "metadata",
        "archived_at",
        "created_at",
        "updated_at",
        "runs_link",
    )
    readonly_fields = ("runs_link",)

    @admin.display(description="runs")
    def runs_link(self, agent: Agent) -> SafeString:
        return format_html(
            '<a href="{}?agent__id__exact={}">Runs</a>', reverse("admin:agents_run_changelist"), agent.pk
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.definitions)
        return [path("definitions/", view, name="agents_definitions"), *super().get_urls()]

    def definitions(self, request: HttpRequest) -> HttpResponse:
        return definitions_page(request)
