"""An agent's log by request: the folded state, and pages of events. Live, it is the event stream (streaming.http.sse).

Answers are put together from the stored JSON as it is, so an event here is byte for byte the one on the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from django.http import HttpRequest, HttpResponse
from ninja import Header, Query, Router
from ninja.openapi.schema import REF_TEMPLATE
from pydantic import BaseModel, Field, RootModel, create_model

from agents.api.auth import caller, identity_of
from agents.auth import stream_tickets
from agents.auth.origins import Source, source_of, ticket_origin
from agents.auth.permissions import agent_for, run_of_agent
from agents.field_types import IdempotencyKey, Name
from agents.http.posted_run import NewRun
from agents.http.problems import CursorGone, FieldInvalid, OriginNotAllowed, json_response
from agents.http.schemas import ErrorAnswer
from agents.log import live_state
from streaming.http.problem import Problem
from streaming.model.cursor import Cursor, judge, parse
from streaming.model.events import SCHEMA, decode, encode
from streaming.store import journal
from streaming.store.journal import PAGE_BYTES, Page, Stored

router = Router(tags=["events"])
EVENTS_MOST = 1000
EVENT_BYTES = 512
"""About how large an event is; only so that a small page does not read a megabyte."""
if TYPE_CHECKING:
    EventType = str  # a type checker reads no table
else:
    EventType = Literal[tuple(SCHEMA)]
SCANNED_PAGES = 8
"""Pages of the log that one request with a filter looks through."""


class Snapshot(BaseModel):
    """The folded state of a log up to the event of this epoch and seq."""

    agent_id: str
    epoch: int
    seq: int
    state: dict[str, Any] = Field(description="docs/events.md; `fold(state, events after it)` is the state later on.")


class _Event(BaseModel):
    """One fact of an agent's log."""

    agent_id: str
    run_id: str | None
    epoch: int = Field(description="Grows each time somebody becomes the log's writer.")
    seq: int = Field(description="1, 2, 3 … in the agent's log, without gaps.")
    timestamp: datetime = Field(description="UTC.")


def _typed(type_: str, data: type[BaseModel]) -> type[_Event]:
    """`_Event` with the data of one type, as generated clients want it."""
    shape = create_model(f"{data.__name__}Data", __base__=data, __doc__=data.__doc__ or f"Data of `{type_}`.")
    described = f"{_Event.__doc__} `{type_}`."
    fields: dict[str, Any] = {"type": Literal[type_], "data": shape}
    return create_model(f"{data.__name__}Event", __base__=_Event, __doc__=described, **fields)


Event: Any = Annotated[Union[tuple(_typed(*one) for one in SCHEMA.items())], Field(discriminator="type")]  # noqa: UP007


class EventPage(BaseModel):
    """`next` is the cursor to go on from, also when `events` is empty because of a filter; `complete`: this was the end
    of the stored log."""

    events: list[Event]
    next: str
    complete: bool


class SnapshotFrame(Snapshot):
    """The first frame of a stream without a cursor, and the one after a `reset`."""

    type: Literal["snapshot"]


class ResetFrame(BaseModel):
    """The cursor can't be honoured exactly; a `snapshot` comes next."""

    type: Literal["reset"]
    reason: Literal["unknown-cursor", "trimmed", "superseded"]


class StreamFrame(RootModel[Event | SnapshotFrame | ResetFrame]):
    """The `data` of one server-sent event, as JSON."""


class EventQuery(BaseModel):
    """Where to begin, and what to leave out."""

    after: Annotated[str, Field(max_length=64, description="Cursor `<epoch>-<seq>`; `0-0` is the beginning.")] = "0-0"
    limit: Annotated[int, Field(ge=1, le=EVENTS_MOST, description="Most events of one answer.")] = 100
    type: list[EventType] = Field(default_factory=list, description="Only events of this type. May be repeated.")
    run: Name | None = Field(None, description="Only events of this run.")


Format = Literal["native", "ai-sdk", "ag-ui"]
"""streaming.http.dialects.FORMATS: a type can't be made of it."""
FORMAT = "Events as the log has them, or as the AI SDK's UI message stream or AG-UI have them."


class StreamQuery(BaseModel):
    """Where to begin and to end, and in whose words."""

    ticket: str | None = Field(None, description="In place of a header: of `POST …/stream-ticket`.")
    after: str | None = Field(None, description="Exactly the events after this cursor; `0-0` replays the whole log.")
    until: Literal["done"] | None = Field(None, description="Close after the active run's `done`.")
    format: Format = Field("native", description=FORMAT)


class RunStreamQuery(BaseModel):
    """In whose words."""

    format: Format = Field("native", description=FORMAT)


@router.get("/agents/{agent_id}/snapshot", response=Snapshot)
def snapshot(request: HttpRequest, agent_id: str) -> HttpResponse:
    """The folded state at the last stored event. Go on from `<epoch>-<seq>` with the events or the stream after it."""
    agent = str(agent_for(caller(request), agent_id).pk)
    row = journal.snapshot(agent)
    cursor, state = row.cursor, row.state
    if cursor != journal.head(agent).tip:  # a large state is not stored with every commit
        folded = journal.load(agent)
        cursor, state = folded.cursor, encode(folded.state)
    head = encode({"agent_id": agent, "epoch": cursor.epoch, "seq": cursor.seq})
    return _json(f'{head[:-1]},"state":{state}}}')


@router.get("/agents/{agent_id}/events", response=EventPage)
def events(request: HttpRequest, agent_id: str, query: Query[EventQuery]) -> HttpResponse:
    """A page of the log. 410 `cursor-gone` for a cursor that can't be honoured exactly: start from a snapshot."""
    user = caller(request)
    agent = agent_for(user, agent_id)
    after = parse(query.after)
    if after is None:
        raise FieldInvalid("after: is not a cursor", field="after")
    if query.run is not None:
        query.run = str(run_of_agent(user, agent, query.run).pk)
    scan = _Scan(str(agent.pk), after, query)
    found = ",".join(stored.payload for stored in scan.run())
    return _json(f'{{"events":[{found}],"next":"{scan.next}","complete":{encode(scan.complete)}}}')


class _Scan:
    """One request's way through the log. `next` and `complete` hold once `run` has ended."""

    def __init__(self, agent_id: str, after: Cursor, query: EventQuery) -> None:
        self.next = after
        self.complete = False
        self._agent_id = agent_id
        self._query = query
        self._types = tuple(f'{{"type":"{type_}"' for type_ in query.type)

    def run(self) -> Iterator[Stored]:
        left = self._query.limit
        for _ in range(SCANNED_PAGES):
            page = journal.page(self._agent_id, self.next, self._page_bytes())
            _honour(self._agent_id, self.next, page)  # each page: a trim may come between two
            for stored in page.events:
                self.next = stored.cursor
                if self._wanted(stored):
                    yield stored
                    left -= 1
                    if not left:
                        self.complete = page.complete and stored is page.events[-1]
                        return
            if page.complete or not page.events:
                self.complete = True
                return

    def _page_bytes(self) -> int:
        filtered = self._types or self._query.run
        return PAGE_BYTES if filtered else min(PAGE_BYTES, self._query.limit * EVENT_BYTES)

    def _wanted(self, stored: Stored) -> bool:
        if self._types and not stored.payload.startswith(self._types):
            return False
        return self._query.run is None or decode(stored.payload).run_id == self._query.run


def _honour(agent_id: str, cursor: Cursor, page: Page) -> None:
    """Raises CursorGone unless the cursor can be honoured exactly. One ahead of what is stored may: a live subscriber
    has seen events that the database gets within half a second."""
    tip_seq = max(page.head.tip.seq, page.events[-1].cursor.seq if page.events else 0)
    reason = judge(cursor, page.starts, tip_seq, page.head.first_seq)
    if reason == "unknown-cursor":
        reason = live_state.refusal(agent_id, cursor)
    if reason is not None:
        raise CursorGone("the log can't be continued from this cursor; start from a snapshot", reason=reason)


# Documentation of what the raw ASGI application serves --------------------------------------------------------------

FRAMES = {
    "type": "string",
    "description": "Each event's data is JSON of this schema, unless `format` chooses another.",
    "contentMediaType": "application/json",
    "contentSchema": {"$ref": REF_TEMPLATE.format(model="StreamFrame")},
}
_STREAM: dict[str, Any] = {
    "responses": {
        200: {
            "description": "Server-sent events, `id` the cursor and `data` the event as JSON. Without a cursor a "
            "`snapshot` frame comes first; `reset` and then a snapshot when a cursor can't be honoured.",
            "content": {"text/event-stream": {"schema": FRAMES}},
        }
    },
}
_LAST_EVENT_ID = {
    "in": "header",
    "name": "Last-Event-ID",
    "required": False,
    "schema": {"type": "string"},
    "description": "As `after`, and wins over it: a browser sends it when it reconnects.",
}


@router.get(
    "/agents/{agent_id}/stream",
    response={501: ErrorAnswer},
    openapi_extra={**_STREAM, "parameters": [_LAST_EVENT_ID]},
)
def stream(request: HttpRequest, agent_id: str, query: Query[StreamQuery]) -> Any:
    """Follow an agent live. Gap-free, duplicate-free, in order; resumes from its cursor; outlives runs."""
    return _not_here()


@router.post("/agents/{agent_id}/stream", response={501: ErrorAnswer}, openapi_extra=_STREAM)
def stream_run(
    request: HttpRequest,
    agent_id: str,
    body: NewRun,
    query: Query[RunStreamQuery],
    idempotency_key: Annotated[IdempotencyKey | None, Header(alias="Idempotency-Key")] = None,
) -> Any:
    """Start a run as `POST …/runs` does, and follow it in this response, until its `done`. The stream begins where the
    log ends now; with an `Idempotency-Key` sent again, before the first event of the run that it made."""
    return _not_here()


class StreamTicketAnswer(BaseModel):
    """The only time that the ticket is shown."""

    ticket: str = Field(description="For `GET …/stream?ticket=…` and for a WebSocket's `authenticate`.")
    expires_at: datetime = Field(description="UTC.")


@router.post("/agents/{agent_id}/stream-ticket", response=StreamTicketAnswer)
def create_stream_ticket(request: HttpRequest, response: HttpResponse, agent_id: str) -> StreamTicketAnswer:
    """Opens this agent's stream for pages of the origin that asks: `GET …/stream?ticket=…`, for an EventSource, which
    can send no header. It has to be used within a minute, then opens the stream again until it expires, or until what
    it was asked for with ends. A server that asks for one of its pages sends that page's `Origin`."""
    agent = agent_for(caller(request), agent_id)
    if source_of(request) is Source.FOREIGN:
        raise OriginNotAllowed("pages of this origin may not read streams: AGENTSITE_CORS_ORIGINS")
    ticket, expires_at = stream_tickets.create(identity_of(request), agent, ticket_origin(request))
    response["Cache-Control"] = "no-store"
    return StreamTicketAnswer(ticket=ticket, expires_at=expires_at)


def _not_here() -> HttpResponse:
    """Reached only under a server that runs Django alone (WSGI)."""
    return json_response(Problem(501, "streams-need-asgi", "event streams need an ASGI server, such as daphne"))


def _json(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="application/json", headers={"Cache-Control": "no-store"})
