"""An agent that speaks the Agent Client Protocol, and does what its prompt says, word by word. Standard library only.

FLAVOUR is whose habits it has: `plain` keeps to the protocol, `gemini` and `opencode` do what those agents do. It
writes down what it got, one message a line, in `received`; with LOADS it keeps its sessions in `sessions`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

FLAVOUR = os.environ.get("FLAVOUR", "plain")
LOADS = bool(os.environ.get("LOADS"))
LEAVES = bool(os.environ.get("LEAVES"))
"""Ends after its first prompt."""
SILENT_ON = os.environ.get("SILENT_ON", "").split()
"""Methods that it does not answer."""
OPTIONS = [
    {"optionId": "go-always", "name": "Always", "kind": "allow_always"},
    {"optionId": "go-once", "name": "Allow", "kind": "allow_once"},
    {"optionId": "no", "name": "Reject", "kind": "reject_once"},
]


class Cancelled(Exception):
    pass


class Turn:
    """One prompt."""

    def __init__(self, agent: Agent, session_id: str, cancelled: threading.Event) -> None:
        self.agent, self.session_id, self.cancelled = agent, session_id, cancelled
        self.calls = 0

    def update(self, kind: str, /, **fields: Any) -> None:
        params = {"sessionId": self.session_id, "update": {"sessionUpdate": kind, **fields}}
        self.agent.say(method="session/update", params=params)

    def text(self, text: str, kind: str = "agent_message_chunk") -> None:
        self.update(kind, content={"type": "text", "text": text})

    def run(self, words: list[str]) -> str:
        for word in words:
            name, _, argument = word.partition(":")
            stop: str | None = getattr(self, f"do_{name}")(argument)
            if stop is not None:
                return stop
        return "end_turn"

    def do_say(self, text: str) -> None:
        self.text(text)

    def do_think(self, text: str) -> None:
        self.text(text, "agent_thought_chunk")

    def do_mode(self, text: str) -> None:
        self.text(f"[MODE_UPDATE] {text}")

    def do_stop(self, reason: str) -> str:
        return reason

    def do_fail(self, message: str) -> None:
        raise ValueError(message)

    def do_exit(self, code: str) -> None:
        os._exit(int(code))

    def do_noise(self, _: str) -> None:
        sys.stdout.write("not a message\n")
        sys.stderr.write("a word on stderr\n")
        self.agent.say(method="vendor/news", params={"hot": True})

    def do_note(self, name: str) -> None:
        with Path(name).open("a") as file:
            file.write("x")

    def do_wait(self, name: str) -> None:
        while not Path(name).exists():
            if self.cancelled.is_set():
                raise Cancelled
            time.sleep(0.005)

    def do_plan(self, status: str) -> None:
        self.update("plan", entries=[{"content": "Look", "priority": "high", "status": status}, {"content": "Act"}])

    def do_read(self, path: str) -> None:
        """A call of a tool, from its announcement to its result."""
        call_id = self.announced("read", f"Read {path}", {"path": path})
        self.working(call_id, "one")
        self.working(call_id, "one two")
        self.finished(call_id, [{"type": "content", "content": {"type": "text", "text": "one two three"}}])

    def do_edit(self, path: str) -> None:
        call_id = self.announced("edit", f"Edit {path}", {"path": path})
        Path(path).write_text("new")
        self.finished(call_id, [{"type": "diff", "path": path, "oldText": None, "newText": "new"}])

    def do_break(self, path: str) -> None:
        call_id = self.announced("execute", f"Run {path}", {"path": path})
        self.update("tool_call_update", toolCallId=call_id, status="failed", rawOutput={"exit": 1})

    def do_ask(self, path: str) -> None:
        """Gemini CLI announces no call before it has asked: the question carries it."""
        call = {"title": f"Write {path}", "kind": "edit", "locations": [{"path": path}]}
        self.calls += 1
        call_id = f"c{self.calls}"
        if FLAVOUR != "gemini":
            self.update("tool_call", toolCallId=call_id, status="pending", rawInput=self.raw({"path": path}), **call)
        described = {"toolCallId": call_id, **call, "rawInput": {"path": path}}
        if FLAVOUR == "gemini":
            described = {"toolCallId": call_id, **call, "status": "pending"}
        params = {"sessionId": self.session_id, "toolCall": described, "options": OPTIONS}
        answer = self.agent.ask("session/request_permission", params)
        outcome = answer["result"]["outcome"]
        if outcome["outcome"] == "cancelled":
            raise Cancelled
        if outcome["optionId"] == "no":
            self.update("tool_call_update", toolCallId=call_id, status="failed")
        else:
            kind = "tool_call" if FLAVOUR == "gemini" else "tool_call_update"
            self.update(kind, toolCallId=call_id, status="in_progress", title=f"Write {path}")
            self.finished(call_id, [])
        self.text(outcome["optionId"])

    def do_write(self, path: str) -> None:
        """OpenCode asks its client to write files, offered or not, and goes on when refused."""
        params = {"sessionId": self.session_id, "path": path, "content": "x"}
        answer = self.agent.ask("fs/write_text_file", params)
        self.text(str(answer["error"]["code"]))

    def do_count(self, lines: str) -> None:
        for number in range(int(lines)):
            self.text(f"{number} ")
            call_id = self.announced("other", "Count", {"number": number})
            self.finished(call_id, [])
            if number == int(lines) // 2:
                self.do_note("middle")
                self.do_wait("go")

    def raw(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {} if FLAVOUR == "opencode" else arguments

    def announced(self, kind: str, title: str, arguments: dict[str, Any]) -> str:
        self.calls += 1
        call_id = f"c{self.calls}"
        if FLAVOUR == "gemini":
            locations = [{"path": arguments["path"]}] if "path" in arguments else []
            self.update(
                "tool_call", toolCallId=call_id, kind=kind, title=title, status="in_progress", locations=locations
            )
        else:
            self.update(
                "tool_call", toolCallId=call_id, kind=kind, title=title, status="pending", rawInput=self.raw(arguments)
            )
            self.update("tool_call_update", toolCallId=call_id, status="in_progress", rawInput=arguments)
        return call_id

    def working(self, call_id: str, output: str) -> None:
        content = [{"type": "content", "content": {"type": "text", "text": output}}]
        self.update("tool_call_update", toolCallId=call_id, status="in_progress", content=content)

    def finished(self, call_id: str, content: list[dict[str, Any]]) -> None:
        self.update("tool_call_update", toolCallId=call_id, status="completed", content=content)


class Agent:
    def __init__(self) -> None:
        self.writing = threading.Lock()
        self.asked = 0
        self.waiting: dict[int, tuple[threading.Event, list[Any]]] = {}
        self.turns: dict[str, threading.Event] = {}
        self.sessions = 0

    def say(self, **message: Any) -> None:
        with self.writing:
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            sys.stdout.flush()

    def ask(self, method: str, params: dict[str, Any]) -> Any:
        with self.writing:
            self.asked += 1
            id_, came = self.asked, threading.Event()
            answers: list[Any] = []
            self.waiting[id_] = (came, answers)
        self.say(id=id_, method=method, params=params)
        came.wait()
        return answers[0]

    def serve(self) -> None:
        for line in sys.stdin:
            if line.strip():
                with Path("received").open("a") as file:
                    file.write(line)
                self.take(json.loads(line))

    def take(self, message: dict[str, Any]) -> None:
        method, params = message.get("method"), message.get("params", {})
        id_: int = message.get("id", 0)
        if method is None:
            came, answers = self.waiting.pop(id_, (threading.Event(), []))
            answers.append(message)
            came.set()
        elif method == "session/cancel":
            self.turns.get(params["sessionId"], threading.Event()).set()
        elif method in SILENT_ON:
            pass
        elif method == "initialize":
            version = 2 if FLAVOUR == "newer" else 1
            self.say(id=id_, result={"protocolVersion": version, "agentCapabilities": {"loadSession": LOADS}})
        elif method == "session/new":
            self.open(id_)
        elif method == "session/load":
            self.load(id_, params["sessionId"])
        elif method == "session/prompt":
            self.turns[params["sessionId"]] = cancelled = threading.Event()
            threading.Thread(target=self.prompt, args=(id_, params, cancelled)).start()
        else:
            self.say(id=id_, error={"code": -32601, "message": f"Method not found: {method}"})

    def open(self, id_: int) -> None:
        if FLAVOUR == "locked":
            self.say(id=id_, error={"code": -32000, "message": "Authentication required"})
            return
        self.sessions += 1
        session_id = f"s{self.sessions}-{os.getpid()}"
        self.say(id=id_, result={"sessionId": session_id})
        update = {"sessionUpdate": "available_commands_update", "availableCommands": []}
        self.say(method="session/update", params={"sessionId": session_id, "update": update})
        if LOADS:
            with Path("sessions").open("a") as file:
                file.write(f"{session_id}\n")

    def load(self, id_: int, session_id: str) -> None:
        """Gemini CLI repeats what was said after it has answered."""
        if session_id not in Path("sessions").read_text().split():
            self.say(id=id_, error={"code": -32002, "message": "Resource not found"})
            return
        if FLAVOUR == "gemini":
            self.say(id=id_, result={})
        for kind in ("user_message_chunk", "agent_message_chunk"):
            update = {"sessionUpdate": kind, "content": {"type": "text", "text": "as it was before"}}
            self.say(method="session/update", params={"sessionId": session_id, "update": update})
        if FLAVOUR != "gemini":
            self.say(id=id_, result=None)

    def prompt(self, id_: int, params: dict[str, Any], cancelled: threading.Event) -> None:
        try:
            words = params["prompt"][-1]["text"].split()
            reason = Turn(self, params["sessionId"], cancelled).run(words)
        except Cancelled:
            reason = "cancelled"
        except ValueError as error:
            self.say(id=id_, error={"code": -32603, "message": "Internal error", "data": {"details": str(error)}})
            return
        self.say(id=id_, result={"stopReason": reason})
        if LEAVES:
            os._exit(0)
        update = {"sessionUpdate": "usage_update", "used": 0, "size": 0}
        self.say(method="session/update", params={"sessionId": params["sessionId"], "update": update})


if __name__ == "__main__":
    Agent().serve()
