"""A site that is only a log: serves the real agent page and modules, and streams a log that the test writes.

Its stream can be cut, refused, given gaps and resets, which the real one promises not to do: the page must live through
all of it. Rendering, templates, stylesheet and scripts are the real ones, under the real content security policy.
"""

from __future__ import annotations

import json
import mimetypes
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.contrib.auth.models import User
from django.contrib.staticfiles import finders
from django.template.loader import render_to_string
from django.test import RequestFactory

from agents.definitions import Definition
from agents.models import Agent
from agents.pages.views import page_context
from agentsite.security import POLICY
from streaming.model.cursor import Cursor, parse
from streaming.model.events import Event, encode
from streaming.model.fold import fold, initial, step


@dataclass
class Stub:
    """What the tests write and read. `faults` are read by each new stream connection."""

    agent: Agent
    definition: Definition | None = None
    events: list[Event] = field(default_factory=list)
    side: dict[str, Any] | None = None
    """What the page brings along of `agents.pages.side`; None: it never asks for it."""
    side_asked: Queue[None] = field(default_factory=Queue)
    """One for each time that the page asks for it. It then waits for one of these, None being no answer at all: """
    side_answers: Queue[dict[str, Any] | None] = field(default_factory=Queue)
    page_at: int | None = None
    """Make the page at this seq instead of at the end: events may come between the page and its stream."""
    cut_after: int | None = None
    refuse: int | None = None
    leave_out: int | None = None
    reset: bool = False
    open: bool = True
    connections: list[str] = field(default_factory=list)
    """The cursor of each stream request, in order."""
    feeds: int = 0
    """Connections to the feed, so far."""
    hints: int = 0
    """Times that the feed has said that the agent changed."""
    pages_asked: list[str] = field(default_factory=list)
    """The cursor of each request for earlier messages, in order."""
    fail_pages: int = 0
    """So many of them are answered with an error."""
    calls_asked: list[str] = field(default_factory=list)
    trimmed: bool = False
    """Are the events of old calls not stored any more?"""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    url: str = ""

    def append(self, events: Iterable[Event]) -> None:
        with self.changed:
            self.events.extend(events)
            self.changed.notify_all()

    def cut(self) -> None:
        """End every stream that is open."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    generation: int = 0

    def hint(self) -> None:
        with self.changed:
            self.hints += 1
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, timeout=10), what

    def request(self) -> tuple[str, str, str]:
        """The first request with a body, waited for: method, path, body."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.requests, timeout=5), "nothing was sent"
            return self.requests[0]

    @property
    def page_url(self) -> str:
        return f"{self.url}/agents/{self.agent.id}/"

    def state(self) -> dict[str, Any]:
        return fold(self.events)

    def snapshot(self) -> dict[str, Any]:
        tip = self.events[-1]
        return {"agent_id": tip.agent_id, "epoch": tip.epoch, "seq": tip.seq, "state": fold(self.events)}

    def pages(self) -> dict[str, dict[str, Any]]:
        """What has left the state, by cursor."""
        found, state = {}, initial()
        for event in self.events:
            state, page = step(state, event)
            if page is not None:
                found[str(page.before)] = {"messages": page.messages, "earlier": page.earlier}
        return found

    def call(self, run_id: str, call_id: str) -> dict[str, Any] | None:
        """A whole call, from its events."""
        call: dict[str, Any] | None = None
        for event in self.events:
            if event.run_id != run_id or event.data.get("call_id") != call_id:
                continue
            if event.type == "tool-call":
                nothing = {"output": "", "result": None, "is_error": False, "duration_ms": None, "state": "running"}
                call = {"arguments": event.data["arguments"], **nothing}
            elif event.type == "tool-output" and call:
                call["output"] += event.data["content"]
            elif event.type == "tool-result" and call:
                ended = {name: event.data[name] for name in ("result", "is_error", "duration_ms")}
                call = {**call, **ended, "state": "failed" if ended["is_error"] else "completed"}
        return call

    def run(self, run_id: str) -> dict[str, Any]:
        asked = (one for one in self.events if one.type == "message" and one.run_id == run_id)
        prompt = next((one.data["content"] for one in asked if one.data["role"] == "user"), "")
        return {"id": run_id, "input": prompt}

    def page(self) -> str:
        events = self.events[: self.page_at]
        cursor = Cursor(events[-1].epoch, events[-1].seq) if events else Cursor(0, 0)
        request = RequestFactory().get("/")
        request.user = User(username="ada")
        state = fold(events)
        self.agent.title = state["title"]
        context = page_context(self.agent, cursor, state, definition=self.definition, side=self.side)
        return render_to_string("agents/agent.html", context, request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """A page asks for thirty modules at once. The default of 5 has some of them try again, after 1, 3, 7 and 15 s."""


@contextmanager
def serve(agent: Agent) -> Iterator[Stub]:
    stub = Stub(agent)
    server = _Server(("127.0.0.1", 0), _handler(stub))
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        stub.cut()
        server.shutdown()
        server.server_close()


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    api = f"/api/agents/{stub.agent.id}"

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.startswith("/static/"):
                self._file(Path(finders.find(url.path.removeprefix("/static/")) or "nothing"))
            elif url.path == urlsplit(stub.page_url).path:
                self._answer(200, stub.page().encode(), "text/html; charset=utf-8")
            elif url.path == f"{api}/stream":
                self._stream(parse_qs(url.query).get("after", [""])[0])
            elif url.path == f"{api}/events":
                self._events(**{name: values[0] for name, values in parse_qs(url.query).items()})
            elif url.path == f"{api}/snapshot":
                self._json(200, stub.snapshot())
            elif url.path == f"{api}/messages":
                self._messages(parse_qs(url.query)["before"][0])
            elif url.path.startswith(f"{api}/runs/"):
                run, _, call = url.path.removeprefix(f"{api}/runs/").partition("/calls/")
                self._call(unquote(run), unquote(call))
            elif url.path.startswith("/api/runs/"):
                self._json(200, stub.run(url.path.rpartition("/")[2]))
            elif url.path == "/api/feed":
                self._feed()
            elif url.path == f"{urlsplit(stub.page_url).path}side/":
                self._side()
            elif url.path == api:
                self._json(stub.refuse or 200, {})
            elif url.path.endswith(".svg"):
                self._answer(200, b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "image/svg+xml")
            else:
                self._answer(200, b"<!doctype html><title>elsewhere</title>", "text/html")

        def _events(self, after: str = "0-0", type: str | None = None, limit: str = "100", run: str = "") -> None:
            if stub.refuse:
                self._json(stub.refuse, {"error": {"code": "no", "message": "No."}})
                return
            cursor = parse(after)
            assert cursor is not None
            if stub.reset:
                stub.reset = False
                self._json(410, {"error": {"code": "cursor-gone", "message": "Gone."}})
                return
            left = [event for event in stub.events if event.seq > cursor.seq and type in (None, event.type)]
            found = [json.loads(event.encode()) for event in left[: int(limit)]]
            self._json(200, {"events": found, "next": "1-9", "complete": len(found) == len(left)})

        def _messages(self, before: str) -> None:
            stub.pages_asked.append(before)
            if stub.fail_pages:
                stub.fail_pages -= 1
                self._json(503, {"error": {"code": "no", "message": "Not now."}})
            else:
                self._json(200, stub.pages()[before])

        def _call(self, run_id: str, call_id: str) -> None:
            stub.calls_asked.append(call_id)
            if stub.trimmed:
                self._json(410, {"error": {"code": "trimmed", "message": "It is not stored any more."}})
            elif call := stub.call(run_id, call_id):
                self._json(200, call)
            else:
                self._json(404, {"error": {"code": "not-found", "message": "No such call."}})

        def _feed(self) -> None:
            """As django-eventstream says it."""
            self._begin_stream()
            with stub.changed, suppress(OSError):
                stub.feeds += 1
                stub.changed.notify_all()
                self.wfile.write(b"retry: 50\n\nevent: stream-open\ndata:\n\n")
                generation, hints = stub.generation, stub.hints
                data = encode({"agent_id": str(stub.agent.pk), "status": "", "title": ""})
                while stub.generation == generation:
                    self.wfile.write(f"event: message\ndata: {data}\n\n".encode() * (stub.hints - hints))
                    hints = stub.hints
                    stub.changed.wait(15)

        def _begin_stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-cache, no-transform")
            self.end_headers()

        def _side(self) -> None:
            stub.side_asked.put(None)
            answer = stub.side_answers.get(timeout=15)
            if answer is not None:
                self._json(200, answer)

        def _body(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            with stub.changed:
                stub.requests.append((self.command, self.path, body.decode()))
                stub.changed.notify_all()
            self._json(202, {})

        do_POST = do_PUT = do_PATCH = do_DELETE = _body

        def _file(self, path: Path) -> None:
            if path.is_file():
                self._answer(200, path.read_bytes(), mimetypes.guess_type(path)[0] or "application/octet-stream")
            else:
                self._answer(404, b"", "text/plain")

        def _json(self, status: int, value: Any) -> None:
            self._answer(status, json.dumps(value).encode(), "application/json")

        def _answer(self, status: int, body: bytes, type_: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", type_)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(body)

        def _stream(self, after: str) -> None:
            after = self.headers.get("Last-Event-ID") or after
            stub.connections.append(after)
            if stub.refuse:
                self._json(stub.refuse, {"error": {"code": "no", "message": "No."}})
                return
            self._begin_stream()
            try:
                self.wfile.write(b"retry: 50\n\n")
                for frame in self._frames(parse(after)):
                    self.wfile.write(frame.encode())
            except OSError:
                pass

        def _frames(self, cursor: Cursor | None) -> Iterator[str]:
            sent, generation = 0, stub.generation
            at = cursor.seq if cursor else len(stub.events)
            if cursor is None or stub.reset:
                if stub.reset:
                    stub.reset = False
                    yield f"data: {encode({'type': 'reset', 'reason': 'superseded'})}\n\n"
                at = len(stub.events)
                tip = stub.events[-1]
                yield f"id: {tip.epoch}-{tip.seq}\ndata: {encode({'type': 'snapshot', **stub.snapshot()})}\n\n"
            while stub.generation == generation:
                for event in stub.events[at:]:
                    at = event.seq
                    if event.seq == stub.leave_out:
                        stub.leave_out = None
                        continue
                    yield f"id: {event.epoch}-{event.seq}\ndata: {event.encode()}\n\n"
                    sent += 1
                    if stub.cut_after is not None and sent >= stub.cut_after:
                        return
                with stub.changed:
                    if len(stub.events) == at and stub.generation == generation:
                        stub.changed.wait(15)

    return Handler
