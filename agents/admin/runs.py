from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.admin import timeline
from agents.admin.filters import EngineName, ErrorCode, GoesOn, Outcome
from agents.admin.operations import about_lease, operate, release_lease
from agents.admin.readonly import HistoryAdmin, ReadOnly
from agents.admin.search import HELP
from agents.errors import RunFinished
from agents.models import ApprovalAnswer, Attempt, Run
from agents.runs import commands
from streaming.model.cursor import parse


class AttemptInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # not generic at run time
    model = Attempt
    extra = 0
    fields = ("number", "engine", "worker", "takeovers", "started_at", "finished_at", "exit_code", "outcome")
    readonly_fields = ("started_at",)


class AnswerInline(ReadOnly, admin.TabularInline):  # type: ignore[type-arg]  # not generic at run time
    model = ApprovalAnswer
    extra = 0
    fields = ("approval_id", "decision", "by", "reason", "created_at")
    readonly_fields = ("created_at",)


@admin.register(Run)
class RunAdmin(HistoryAdmin):
    list_display = (
        "__str__",
        "agent",
        "owner",
        "status",
        "engine",
        "created_at",
        "duration_ms",
        "error_code",
        "timeline_link",
    )
    list_filter = ("status", EngineName, ErrorCode, "created_at")
    list_select_related = ("agent__owner",)
    newest_by = ("-created_at", "-id")
    id_fields = ("pk", "agent__id")
    search_fields = ("agent__title", "input", "error_message")
    search_help_text = HELP
    actions = ("cancel", "retry", "release_lease")
    inlines = (AttemptInline, AnswerInline)
    readonly_fields = ("timeline_link",)

    @admin.display(description="owner", ordering="agent__owner")
    def owner(self, run: Run) -> str:
        return str(run.agent.owner)

    @admin.display(description="events")
    def timeline_link(self, run: Run) -> SafeString:
        return format_html('<a href="{}">Timeline</a>', reverse("admin:agents_run_timeline", args=[run.pk]))

    # Actions ------------------------------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """History can't be edited, but what is going on can be influenced by those who might change runs."""
        return request.user.has_perm("agents.change_run")

    @admin.action(description="Cancel selected runs", permissions=["operate"])
    def cancel(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        by = request.user.get_username()

        def act(run: Run) -> tuple[Run, str]:
            if run.is_finished:
                raise RunFinished("has ended already")
            return commands.request_cancel(run, f"cancelled by {by}"), "Cancelled."

        return operate(self, request, runs.select_related("agent"), "cancel", "Cancel these runs?", act, _about)

    @admin.action(description="Retry selected runs with the same input", permissions=["operate"])
    def retry(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        def act(run: Run) -> tuple[Run, str]:
            new = commands.retry(run)
            return run, f"Retried as run {new.number} ({new.pk})."

        return operate(self, request, runs.select_related("agent"), "retry", "Retry these runs?", act, _about)

    @admin.action(description="Release the lease of a worker that does not answer", permissions=["operate"])
    def release_lease(self, request: HttpRequest, runs: QuerySet[Run]) -> HttpResponse | None:
        def act(run: Run) -> tuple[Run, str]:
            return run, release_lease(run.agent)[1]

        question = "Release the leases of these runs?"
        runs = runs.select_related("agent")
        return operate(self, request, runs, "release_lease", question, act, lambda run: about_lease(run.agent))

    # Timeline -----------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.timeline)
        return [path("<uuid:run_id>/timeline/", view, name="agents_run_timeline"), *super().get_urls()]

    def timeline(self, request: HttpRequest, run_id: Any) -> HttpResponse:
        """The run's events; `?after=` goes on where the last page ended."""
        run = get_object_or_404(Run.objects.select_related("agent"), pk=run_id)
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": f"Events of {run}",
            "run": run,
            "opts": self.model._meta,
            "page": timeline.of(run, parse(request.GET.get("after", ""))),
        }
        return render(request, "admin/agents/run/timeline.html", context)


def _about(run: Run) -> str:
    return f"of {run.agent}"


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    list_display = (
        "__str__",
        "engine",
        "host",
        "worker",
        "started_at",
        "finished_at",
        "exit_code",
        "outcome",
        "takeovers",
    )
    list_filter = (EngineName, Outcome, GoesOn)
    newest_by = ("-id",)
    id_fields = ("pk", "run__id")
    search_fields = ("container_ref", "worker", "host")
    search_help_text = HELP
    readonly_fields = ("started_at",)
