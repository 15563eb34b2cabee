from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents import lifecycle
from agents.admin import timeline
from agents.admin.readonly import HistoryAdmin, ReadOnly
from agents.errors import AgentsError
from agents.models import ApprovalAnswer, Attempt, Run
from streaming.cursor import parse
from streaming.errors import StreamingError


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
    list_filter = ("status", "engine", "error_code", "created_at")
    list_select_related = ("agent__owner",)
    search_fields = ("id", "agent__id", "agent__title", "input", "error_message")
    actions = ("cancel", "retry")
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
    def cancel(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        reason = f"cancelled by {request.user.get_username()}"
        self._each(request, runs, "asked to stop", lambda run: lifecycle.request_cancel(run, reason))

    @admin.action(description="Retry selected runs with the same input", permissions=["operate"])
    def retry(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        self._each(request, runs, "queued again", lifecycle.retry)

    def _each(self, request: HttpRequest, runs: QuerySet[Run], done: str, act: Callable[[Run], Any]) -> None:
        count = 0
        for run in runs.select_related("agent"):
            try:
                act(run)
                count += 1
            except (AgentsError, StreamingError) as error:
                self.message_user(request, f"{run} of {run.agent}: {error}", messages.ERROR)
        if count:
            self.message_user(request, f"{count} {'run' if count == 1 else 'runs'} {done}.", messages.SUCCESS)

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


@admin.register(Attempt)
class AttemptAdmin(HistoryAdmin):
    list_display = ("__str__", "engine", "worker", "started_at", "finished_at", "exit_code", "outcome", "takeovers")
    list_filter = ("engine", "outcome", "started_at")
    search_fields = ("id", "run__id", "container_ref", "worker")
    readonly_fields = ("started_at",)
