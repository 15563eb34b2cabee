"""One run's conversation with an agent: what it printed, folded, and what is to be sent to it.

    initialize ─► session/new or session/load ─► session/prompt ─► updates, questions ─► the prompt's answer: done

A session that was loaded is used when one more question is answered: Gemini CLI repeats what was said in it after its
answer to session/load, which would else be taken for what it says to the prompt.

`take` folds; `go_live` begins to send. Who takes a run over folds all that the agent has printed first, asks what only
this worker can have asked (`sync`), and goes live when that is answered: then it has read whatever was said before it.
What may be sent twice: initialize, session/new, refusals, answers to questions. A prompt may not. If nobody knows
whether it was sent (a worker died between sending it and noting that), and nothing shows that it was, its session is
cancelled and the prompt put to a new one: the next generation, whose ids follow from the sessions that the agent gave.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from containers.protocols.acp import messages, prompt
from containers.protocols.acp.messages import Id, Notification, Request, Response
from containers.protocols.acp.permissions import CANCELLED, Permissions
from containers.protocols.acp.updates import SILENT, Said, Updates

INITIALIZE_ID = 1
_GENERATION_IDS = 10
_NEW, _LOAD, _PROMPT, _SETTLE = 0, 1, 2, 3
_SYNC_IDS = 1_000_000
SYNC_METHOD = "_agentsite/sync"
"""The protocol keeps names with an underscore for such. An agent that does not know it says so: that will do."""
REFUSALS_AGAIN = 100
"""So many of the last refusals are repeated by who takes a run over."""
STOPS = {
    "max_tokens": ("max-tokens", "the model's answer came to its largest length"),
    "max_turn_requests": ("max-turn-requests", "the agent made as many calls of models as it may for one prompt"),
    "refusal": ("refusal", "the agent refused to go on"),
}
"""Reasons to stop that are no success: code and message of the error."""


class Outgoing(NamedTuple):
    line: bytes
    is_prompt: bool = False


class Session:
    """`fresh` is the prompt for a new session, with what was said before; `loaded` for one that knows it, whose id is
    `earlier`. Sends nothing until it is live."""

    def __init__(
        self,
        cwd: str,
        fresh: Sequence[prompt.Block],
        loaded: Sequence[prompt.Block] = (),
        earlier: str = "",
        mcp_servers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.session_id: str | None = None
        self.is_live = False
        self._cwd = cwd
        self._fresh, self._loaded, self._earlier = list(fresh), list(loaded), earlier
        self._mcp_servers = mcp_servers or {}
        self._capabilities: Mapping[str, Any] | None = None
        self._generation = 0
        self._is_loaded = self._cannot_load = self._was_loaded = False
        self._prompted = self._is_at_work = self._cancelled = False
        self._ending: Said | None = None
        self._sync_id: Id | None = None
        self._asked_ids: set[Id] = set()
        self._outbox: list[Outgoing] = []
        self._refusals: deque[bytes] = deque(maxlen=REFUSALS_AGAIN)
        self._updates = Updates()
        self._permissions = Permissions()

    # What is to be sent -------------------------------------------------------------------------------------------

    def due(self) -> list[Outgoing]:
        """What is to be sent now, once each."""
        taken, self._outbox = self._outbox, []
        return taken

    def sync(self, number: int) -> bytes:
        """The question whose answer says that everything before it has been read. `number`: of this takeover."""
        self._sync_id = _SYNC_IDS + number
        return messages.request(self._sync_id, SYNC_METHOD, {})

    def go_live(self, prompted: bool) -> list[Said]:
        """`prompted`: it is known that the prompt was sent. Answers the run's `done`, if that was read already."""
        if self.is_live:
            return []
        self.is_live = True
        self._outbox += [Outgoing(line) for line in self._refusals]
        is_known = prompted or self._is_at_work
        if self._ending is not None and (is_known or self._ending["status"] != "cancelled"):
            return [self._ending]
        self._ending = None
        self._prompted = is_known
        if self.session_id is not None and not is_known:
            self._begin_again()
        self._advance()
        return []

    @property
    def is_settling(self) -> bool:
        """A session is loaded, and perhaps not yet all of it has been repeated."""
        return self.is_live and self._is_loaded and not self._cannot_load and self.session_id is None

    def give_up_loading(self) -> None:
        """For an agent that answers nothing it does not know: a new session instead."""
        self._cannot_load = True
        self._advance()

    def answer(self, approval_id: str, decision: str) -> bytes | None:
        return self._permissions.answer(approval_id, decision)

    def denial(self, approval_id: str) -> str | None:
        return self._permissions.denial(approval_id)

    def cancel(self) -> list[bytes]:
        """Nothing new is begun after it."""
        self._cancelled = True
        lines = self._permissions.cancel()
        if self.session_id is not None:
            lines.append(self._cancel_line(self.session_id))
        return lines

    # What came ----------------------------------------------------------------------------------------------------

    def take(self, value: Mapping[str, Any]) -> list[Said] | None:
        """What a program of container protocol v1 would have said. None: it has no meaning here."""
        message = messages.read(value)
        if isinstance(message, Response):
            said: list[Said] | None = self._take_response(message)
        elif isinstance(message, Request):
            said = self._take_request(message)
        else:
            said = self._take_notification(message) if message is not None else None
        self._advance()
        return said

    def _take_response(self, response: Response) -> list[Said] | None:
        if response.id == INITIALIZE_ID:
            return self._initialized(response) if self._capabilities is None and not self._ending else []
        if not isinstance(response.id, int):
            return None
        if response.id >= _SYNC_IDS:
            return []
        generation, kind = divmod(response.id - _GENERATION_IDS, _GENERATION_IDS)
        if kind in (_NEW, _LOAD, _SETTLE):
            is_next = generation > self._generation or (generation == self._generation and self.session_id is None)
            return self._opened(generation, kind, response) if is_next else []
        is_ours = kind == _PROMPT and generation == self._generation and self.session_id is not None
        return self._stopped(response) if is_ours and self._ending is None else []

    def is_sync(self, value: Mapping[str, Any]) -> bool:
        message = messages.read(value)
        return isinstance(message, Response) and self._sync_id is not None and message.id == self._sync_id

    def _initialized(self, response: Response) -> list[Said]:
        if response.error is not None:
            return self._failed(response.error)
        result = response.result if isinstance(response.result, dict) else {}
        if result.get("protocolVersion") != prompt.VERSION:
            version = result.get("protocolVersion")
            return self._fail("agent-protocol", f"the agent speaks version {version!r} of the protocol, not 1")
        capabilities = result.get("agentCapabilities")
        self._capabilities = capabilities if isinstance(capabilities, dict) else {}
        return []

    def _opened(self, generation: int, kind: int, response: Response) -> list[Said]:
        if kind == _LOAD:
            self._is_loaded, self._cannot_load = response.error is None, response.error is not None
            return []
        result = response.result if isinstance(response.result, dict) else {}
        session_id = self._earlier if kind == _SETTLE else result.get("sessionId")
        if not isinstance(session_id, str) or not session_id:
            return self._failed(response.error or {"message": "the agent gave no session"})
        self._generation, self.session_id, self._was_loaded = generation, session_id, kind == _SETTLE
        self._is_at_work, self._ending, self._updates = False, None, self._updates.renewed()
        return []

    def _stopped(self, response: Response) -> list[Said]:
        if response.error is not None:
            return self._failed(response.error)
        result = response.result if isinstance(response.result, dict) else {}
        reason = result.get("stopReason")
        if isinstance(reason, str) and reason in STOPS:
            return self._fail(*STOPS[reason])
        return self._end("cancelled" if reason == "cancelled" else "completed")

    def _take_notification(self, notification: Notification) -> list[Said] | None:
        update = notification.params.get("update")
        if notification.method != "session/update" or not isinstance(update, dict):
            return None
        if not self._is_current(notification.params):
            return []  # an earlier conversation that is loaded, or a session that was given up
        self._is_at_work = self._is_at_work or update.get("sessionUpdate") not in SILENT
        return self._updates.take(update)

    def _take_request(self, request: Request) -> list[Said]:
        if len(str(request.id)) > messages.ID_CHARS:
            return self._refuse(request, messages.INVALID_REQUEST, "that id is too long")
        if request.method != "session/request_permission":
            return self._refuse(request, messages.METHOD_NOT_FOUND, f"{request.method} is not offered")
        if not self._is_current(request.params):
            self._reply(messages.result(request.id, CANCELLED))
            return []
        self._is_at_work = True
        described = request.params.get("toolCall")
        said = self._updates.announce(described) if isinstance(described, dict) else []
        question = self._permissions.ask(request)
        if question is None:
            return [*said, *self._refuse(request, messages.INVALID_PARAMS, "nobody could answer that")]
        return [*said, question]

    def _is_current(self, params: Mapping[str, Any]) -> bool:
        return self.session_id is not None and params.get("sessionId") == self.session_id

    # How it goes on -----------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Ask what is next."""
        if not self.is_live or self._prompted or self._cancelled or self._ending is not None:
            return
        if self._capabilities is None:
            self._ask(INITIALIZE_ID, "initialize", prompt.initialize())
        elif self.session_id is None:
            self._open()
        else:
            self._prompted = True
            blocks = self._loaded if self._was_loaded else self._fresh
            params = {"sessionId": self.session_id, "prompt": blocks}
            self._outbox.append(Outgoing(messages.request(self._id(_PROMPT), "session/prompt", params), is_prompt=True))

    def _open(self) -> None:
        capabilities = self._capabilities or {}
        place = {"cwd": self._cwd, "mcpServers": prompt.mcp_servers(self._mcp_servers, capabilities)}
        if self._is_loaded and not self._cannot_load:
            self._ask(self._id(_SETTLE), SYNC_METHOD, {})
        elif self._earlier and not self._cannot_load and capabilities.get("loadSession") is True:
            self._ask(self._id(_LOAD), "session/load", {"sessionId": self._earlier, **place})
        else:
            self._ask(self._id(_NEW), "session/new", place)

    def _begin_again(self) -> None:
        """In a new session. The one before it may have the prompt, and have done nothing yet that shows."""
        if self.session_id is not None:
            self._outbox.append(Outgoing(self._cancel_line(self.session_id)))
        self._generation, self.session_id, self._cannot_load = self._generation + 1, None, True

    def _ask(self, id_: Id, method: str, params: Mapping[str, Any]) -> None:
        if id_ not in self._asked_ids:
            self._asked_ids.add(id_)
            self._outbox.append(Outgoing(messages.request(id_, method, params)))

    def _id(self, kind: int) -> int:
        return _GENERATION_IDS * (self._generation + 1) + kind

    def _cancel_line(self, session_id: str) -> bytes:
        return messages.notification("session/cancel", {"sessionId": session_id})

    def _refuse(self, request: Request, code: int, message: str) -> list[Said]:
        self._reply(messages.error(request.id, code, message))
        return []

    def _reply(self, line: bytes) -> None:
        if self.is_live:
            self._outbox.append(Outgoing(line))
        else:
            self._refusals.append(line)

    # The end ------------------------------------------------------------------------------------------------------

    def _failed(self, error: Mapping[str, Any]) -> list[Said]:
        code = "agent-auth-required" if error.get("code") == messages.AUTH_REQUIRED else "agent-error"
        detail = error.get("data")
        beside = detail.get("details") if isinstance(detail, dict) else detail
        message = str(error.get("message") or "the agent said no more")
        return self._fail(code, f"{message}: {beside}" if isinstance(beside, str) and beside else message)

    def _fail(self, code: str, message: str) -> list[Said]:
        return self._end("failed", [{"type": "error", "code": code, "message": message}])

    def _end(self, status: str, before: Sequence[Said] = ()) -> list[Said]:
        """`done` is said by who is live: what is read again may yet turn out not to have been the end."""
        self._ending = {"type": "done", "status": status}
        said = [*self._updates.close(), *before]
        return [*said, self._ending] if self.is_live else said
