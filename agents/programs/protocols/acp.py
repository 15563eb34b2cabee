"""The Agent Client Protocol: the site is its client. What an agent says becomes what a program of container protocol v1
would have said (containers.protocols.acp), and has the same checks to pass.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from agents.outcome import Problem
from agents.programs.protocols.conversation import Opening, Send, Sent
from agents.programs.translator import Translator
from containers.errors import EngineUnavailable
from containers.interface import BEGINNING, Offset
from containers.protocols.acp import Outgoing, Session, messages, prompt
from containers.protocols.acp.updates import Said
from containers.protocols.jsonl import Line, Parser
from streaming.model.events import Draft, draft

log = structlog.get_logger(__name__)
LOG_CHARS = 64 * 1024
"""What is kept of a line that was too long."""
DONE_PATIENCE_S = 0.2
"""From the prompt's answer to SIGTERM: an agent waits for the next prompt, and never ends by itself."""
SYNC_PATIENCE_S = 5.0
"""How long a worker that takes over waits, with nothing printed, for an agent that does not answer `sync`."""
AGAIN_S = 1.0
"""Between two attempts to send while the engine is away."""


class AcpConversation:
    """A fold of all that the agent has printed (`Session`), and one task that sends what follows from it."""

    rereads = True
    ends_itself = False
    done_patience_s = DONE_PATIENCE_S

    def __init__(self, translator: Translator) -> None:
        self._translator = translator
        self._session = Session("/", ())
        self._opening: Opening | None = None
        self._changed: Callable[[], None] = lambda: None
        self._news = asyncio.Event()

    @property
    def run_id(self) -> str:
        return self._translator.run_id

    @property
    def done(self) -> Draft | None:
        return self._translator.done

    def parser(self, after: Offset) -> Parser:
        return messages.parser(after)

    def resume(self, usage: dict[str, Any], asked: set[str]) -> None:
        self._translator.resume(usage, asked)

    # To the agent -------------------------------------------------------------------------------------------------

    def open(self, opening: Opening, changed: Callable[[], None]) -> None:
        self._opening, self._changed = opening, changed
        config = opening.config
        self._session = Session(
            opening.cwd,
            fresh=prompt.blocks(opening.content, opening.history, config.get("system_prompt")),
            loaded=prompt.blocks(opening.content),
            earlier=opening.earlier_session,
            mcp_servers=config.get("mcp_servers"),
        )

    async def converse(self, send: Send, sent: Sent) -> None:
        """Never ends: an agent may ask at any time."""
        assert self._opening is not None
        if self._opening.is_takeover:
            await self._catch_up(send, self._opening.epoch)
        self._go_live()
        while True:
            self._news.clear()
            for outgoing in self._session.due():
                await self._send(send, outgoing)
                if outgoing.is_prompt:
                    await sent(self._session.session_id or "")
            if self._session.is_settling:
                await self._settle()
            else:
                await self._news.wait()

    async def _settle(self) -> None:
        """Until a session that was loaded can be used, or there is more to be sent."""
        if not await self._wait_for_news():
            self._session.give_up_loading()

    async def _catch_up(self, send: Send, epoch: int) -> None:
        """Until all has been read that was printed before. An agent that does not answer has said all it had to say
        when it has been silent for a while."""
        await self._send(send, Outgoing(self._session.sync(epoch)))
        self._news.clear()
        while not self._session.is_live and await self._wait_for_news():
            self._news.clear()

    async def _wait_for_news(self) -> bool:
        """False if the agent was silent for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SYNC_PATIENCE_S):
                return await self._news.wait()
        return False

    async def _send(self, send: Send, outgoing: Outgoing) -> None:
        """A prompt is not tried twice: it may have been taken."""
        while True:
            try:
                await send(outgoing.line)
                return
            except EngineUnavailable as error:
                if outgoing.is_prompt:
                    raise
                log.info("engine away, sending again soon", run_id=self._translator.run_id, error=str(error))
            await asyncio.sleep(AGAIN_S)

    def answer(self, approval_id: str, decision: str, reason: str) -> bytes | None:
        return self._session.answer(approval_id, decision)

    def denial(self, approval: Mapping[str, Any]) -> str | None:
        return self._session.denial(approval["approval_id"])

    def cancel(self) -> list[bytes]:
        return self._session.cancel()

    # From the agent -----------------------------------------------------------------------------------------------

    def translate(self, line: Line) -> list[Draft]:
        if line.cut:
            return self._cut(line)
        if not isinstance(line.value, dict):
            return self._translator.as_log(line)
        said = self._take(line.value)
        if said is None:
            return self._translator.as_log(line)
        return [made for one in said for made in self._translator.translate(_as_said(one))]

    def rehearse(self, line: Line) -> list[Draft]:
        said = self._take(line.value) if isinstance(line.value, dict) else None
        return [draft for one in said or () for draft in self._translator.rehearse(_as_said(one))]

    def late(self, line: Line) -> list[Draft]:
        """Agents still say what their session has cost."""
        return [] if line.kind == "object" else self._translator.as_log(line)

    def close(self) -> Problem | None:
        self._go_live()
        if self._translator.done is not None:
            return None
        return "agent-ended", "the agent ended before it had answered the prompt"

    def _take(self, value: dict[str, Any]) -> list[Said] | None:
        said = self._session.take(value)
        if self._session.is_sync(value):
            self._go_live()
        self._news.set()
        return said

    def _go_live(self) -> None:
        was_sent = self._opening is not None and self._opening.was_sent
        for said in self._session.go_live(was_sent):
            self._translator.translate(_as_said(said))
            self._changed()

    def _cut(self, line: Line) -> list[Draft]:
        mib = messages.LINE_BYTES // (1024 * 1024)
        message = f"a line over {mib} MiB was cut"
        run_id, kept = self._translator.run_id, str(line.value)[:LOG_CHARS]
        return [
            *self._translator.as_log(line._replace(kind="text", value=kept)),
            draft("error", run_id, code="line-too-long", message=message, retryable=False),
        ]


def _as_said(said: Said) -> Line:
    return Line("stdout", "object", said, BEGINNING)
