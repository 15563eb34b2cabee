"""The conversation before what the state holds, a page at a time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.utils.http import parse_etags
from ninja import Query, Router
from pydantic import BaseModel, Field

from agents.api.auth import caller
from agents.auth.permissions import agent_for
from agents.field_types import Name, Search
from agents.http.problems import PageUnknown
from agents.log import conversation_search, live_state
from streaming.model.cursor import parse

router = Router(tags=["events"])
FOR_EVER = "private, immutable, max-age=31536000"


class Earlier(BaseModel):
    """Where older conversation is."""

    before: str = Field(description="For the next call: the page before this one.")


class ConversationPage(BaseModel):
    """A stretch of the conversation that has left the state. The parts of pages and state, sorted by `n`, are the whole
    conversation. A message may go on in the next page, or in the state."""

    messages: list[dict[str, Any]] = Field(description="As in the state: docs/events.md.")
    earlier: Earlier | None = Field(description="null: the conversation begins here.")


class PageQuery(BaseModel):
    """Which page."""

    before: Annotated[Name, Field(description="`earlier.before` of the state or of a page.")]


@router.get("/agents/{agent_id}/messages", response=ConversationPage)
def messages(request: HttpRequest, agent_id: str, query: Query[PageQuery]) -> HttpResponse:
    """One whole page of older conversation, its messages in their order. A stored page never changes, so it may be
    cached for ever. 400 `unknown-page` for a cursor that the server did not give."""
    agent = str(agent_for(caller(request), agent_id).pk)
    before = parse(query.before)
    found = None if before is None else live_state.conversation_page(agent, before)
    if before is None or found is None:
        raise PageUnknown("no page of the conversation ends there; take `earlier.before` of the state or of a page")
    text, is_stored = found
    if not is_stored:
        return _json(text, {"Cache-Control": "no-store"})
    headers = {"ETag": f'"{agent}-{before}"', "Cache-Control": FOR_EVER}
    if headers["ETag"] in parse_etags(request.headers.get("If-None-Match", "")):
        return HttpResponse(status=304, headers=headers)
    return _json(text, headers)


class SearchQuery(BaseModel):
    """What to search for, and where to go on."""

    q: Annotated[Search, Field(min_length=1, description="Text that a part contains, in upper or lower case.")]
    before: Annotated[Name | None, Field(description="`searched_to` of the answer before.")] = None


class SearchMatch(BaseModel):
    """A part of the conversation that contains the text."""

    n: int = Field(description="Its ordinal, as in the state and in pages.")
    run_id: str | None
    role: str
    type: str
    before: str | None = Field(description="The page that has it, for `messages?before=`; null: it is in the state.")
    excerpt: str = Field(description="What stands around it, in one line.")


class SearchAnswer(BaseModel):
    """Matches, the newest first."""

    matches: list[SearchMatch]
    searched_to: str | None = Field(
        description="For the next call, which searches what is older. null: all was searched."
    )


@router.get("/agents/{agent_id}/messages/search", response=SearchAnswer)
def search_messages(request: HttpRequest, agent_id: str, query: Query[SearchQuery]) -> SearchAnswer:
    """Searches texts, prompts and tool calls of the conversation, the newest first. One call reads a bounded stretch
    and says how far it came. 400 `unknown-page` for a `before` that the server did not give."""
    agent = str(agent_for(caller(request), agent_id).pk)
    start = conversation_search.START if query.before is None else conversation_search.Position.parse(query.before)
    if start is None:
        raise PageUnknown("nothing was searched up to there; take `searched_to` of an answer")
    try:
        matches, searched_to = conversation_search.search(agent, query.q, start)
    except KeyError:
        raise PageUnknown("nothing was searched up to there; take `searched_to` of an answer") from None
    found = [SearchMatch(**asdict(match)) for match in matches]
    return SearchAnswer(matches=found, searched_to=str(searched_to) if searched_to else None)


def _json(text: str, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(text, content_type="application/json; charset=utf-8", headers=headers)
