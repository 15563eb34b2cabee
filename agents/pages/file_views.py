"""An agent's files: a folder, one file, and what the agent page says of them. Somebody else's are not there (404)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.views.decorators.cache import never_cache

from agents.errors import NotFound
from agents.models import Agent, Run
from agents.pages import measures, tree, viewer, visible
from agents.pages import side as side_of
from agents.pages.links import file_url
from agents.workspace import PathInvalid, Workspace, WorkspaceMissing
from agents.workspace.history import past
from streaming.store import journal


@login_required
@never_cache
def folder(request: HttpRequest, agent_id: UUID, path: str = "") -> HttpResponse:
    """What is directly in it, on disk now."""
    agent = _own(request, agent_id)
    try:
        listing = Workspace(agent.pk).entries()
    except WorkspaceMissing:
        return _unreachable(request, agent)
    sizes = {entry.path: entry.size for entry in listing.entries}
    folders, files = tree.folder(sizes, path)
    if path and not (folders or files):
        return _missing(request, agent)
    base, prefix = reverse("pages:files", args=[agent.pk]), f"{path}/" if path else ""
    counts = [(name, f"{count:,} file{pluralize(count)}") for name, count in folders]
    rows = [_row(name, file_url(prefix + name, base), "/", words) for name, words in counts]
    rows += [_row(name, file_url(prefix + name, base), "", measures.size(sizes[prefix + name])) for name in files]
    context = {
        "agent": agent,
        "crumbs": _crumbs(base, path),
        "rows": Paginator(rows, tree.FOLDER_PAGE_ROWS).get_page(request.GET.get("page")),
        "count": len(files) + sum(count for _, count in folders),
        "complete": listing.complete,
    }
    return render(request, "agents/folder.html", context)


@login_required
@never_cache
def file_or_folder(request: HttpRequest, agent_id: UUID, path: str) -> HttpResponse:
    """A file; with a slash at the end a folder."""
    agent = _own(request, agent_id)
    if path.endswith("/"):
        return folder(request, agent_id, path.rstrip("/"))
    try:
        opened = Workspace(agent.pk).open_file(path)
    except (NotFound, PathInvalid):
        return _instead(request, agent, path)
    except WorkspaceMissing:
        return _unreachable(request, agent)
    with opened.file:
        content = opened.file.read(viewer.VIEW_BYTES)
    files_url = f"/api/agents/{agent.pk}/files/"
    source = request.GET.get("view") == "source"
    context = {
        "agent": agent,
        "name": visible.plain(path.rpartition("/")[2]),
        "crumbs": _crumbs(reverse("pages:files", args=[agent.pk]), path),
        "size": measures.size(opened.entry.size),
        "modified_at": opened.entry.modified_at,
        "raw": file_url(path, files_url),
        "path": path,
        "view": viewer.of(path, content, opened.entry.size, files_url, source=source),
        "past": _past(agent, path),
        "runs_looked_at": past.RUNS_MOST,
    }
    return render(request, "agents/file.html", context)


@login_required
@never_cache
def side(request: HttpRequest, agent_id: UUID) -> JsonResponse:
    """For the agent page's panels, see `agents.pages.side`."""
    agent = _own(request, agent_id)
    folded = journal.load(str(agent.pk))
    cursor, state = folded.cursor, folded.state
    return JsonResponse(side_of.of(agent, cursor.seq, state["files"]))


def _own(request: HttpRequest, agent_id: UUID) -> Agent:
    return get_object_or_404(Agent, pk=agent_id, owner=request.user.pk)


def _instead(request: HttpRequest, agent: Agent, path: str) -> HttpResponse:
    """The folder of that name, if there is one."""
    folders, files = tree.folder((entry.path for entry in Workspace(agent.pk).entries().entries), path)
    if not folders and not files:
        return _missing(request, agent)
    return redirect(f"{file_url(path, reverse('pages:files', args=[agent.pk]))}/")


def _unreachable(request: HttpRequest, agent: Agent) -> HttpResponse:
    return render(request, "agents/folder.html", {"agent": agent, "is_unreachable": True}, status=503)


def _missing(request: HttpRequest, agent: Agent) -> HttpResponse:
    """Leads back to the files that there are."""
    return render(request, "404.html", {"agent": agent}, status=404)


def _row(name: str, url: str | None, end: str, about: str) -> dict[str, Any]:
    return {"name": visible.plain(name) + end, "url": f"{url}{end}" if url else None, "about": about}


def _crumbs(base: str, path: str) -> list[tuple[str, str]]:
    """(name, address) of the folders above."""
    above = path.split("/")[:-1]
    return [(visible.plain(name), f"{file_url('/'.join(above[: at + 1]), base)}/") for at, name in enumerate(above)]


def _past(agent: Agent, path: str) -> list[tuple[Run, str]]:
    """In which of its latest runs it changed."""
    found = past.changes_of(agent.pk, path)
    runs = {str(run.pk): run for run in agent.runs.filter(pk__in=[one.run_id for one in found])}
    return [(runs[one.run_id], one.status) for one in found if one.run_id in runs]
