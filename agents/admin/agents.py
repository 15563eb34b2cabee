from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.admin.definitions import definitions_page
from agents.admin.filters import AgentStatus, DefinitionName
from agents.admin.operations import about_lease, operate, release_lease
from agents.admin.readonly import HistoryAdmin
from agents.admin.search import HELP
from agents.models import Agent


@admin.register(Agent)
class AgentAdmin(HistoryAdmin):
    list_display = ("__str__", "definition", "owner", "status", "updated_at", "runs_link")
    list_filter = (AgentStatus, DefinitionName, "updated_at")
    list_select_related = ("owner",)
    newest_by = ("-updated_at", "-id")
    search_fields = ("title", "owner__username")
    search_help_text = HELP
    actions = ("release_lease",)
    fields = (
        "id",
        "title",
        "definition",
        "owner",
        "status",
        "model",
        "tools",
        "budget",
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

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("agents.change_agent")

    @admin.action(description="Release the lease of a worker that does not answer", permissions=["operate"])
    def release_lease(self, request: HttpRequest, agents: QuerySet[Agent]) -> HttpResponse | None:
        question = "Release the leases of these agents?"
        return operate(self, request, agents, "release_lease", question, release_lease, about_lease)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.definitions)
        return [path("definitions/", view, name="agents_definitions"), *super().get_urls()]

    def definitions(self, request: HttpRequest) -> HttpResponse:
        return definitions_page(request)
