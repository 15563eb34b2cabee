"""POST /api/agents/{id}/fork"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.db import connections

from agents import transfer
from agents.models import Agent, Run, Spending
from agents.programs import history
from agents.workspace import Workspace, cleanup
from agents.workspace.history import History
from streaming.model.events import draft
from streaming.models import ConversationPage, Log
from streaming.store import journal
from tests.api.conftest import on_postgres, problem, write
from tests.api.test_transfer import export, take


class Story:
    """An agent whose runs write files and are kept before and after."""

    def __init__(self, api: Any, agent_id: str) -> None:
        self.api = api
        self.agent_id = agent_id
        self.workspace = Workspace(agent_id)

    def begin(self, prompt: str) -> str:
        run_id: str = self.api.call("POST", f"/api/agents/{self.agent_id}/runs", {"input": prompt})[1]["id"]
        History(self.agent_id).keep(run_id, "before", self.workspace)
        write(self.agent_id, [draft("status", run_id, status="running")])
        return run_id

    def end(self, run_id: str, text: str, files: dict[str, bytes]) -> str:
        for path, content in files.items():
            self.workspace.write_file(path, [content])
        History(self.agent_id).keep(run_id, "after", self.workspace)
        changes = [
            {"path": one.path, "change": one.change, "size": one.size, "sha256": one.sha256} for one in self.scan()
        ]
        write(
            self.agent_id,
            [
                draft("text", run_id, message_id="m", content=text),
                *([draft("files", run_id, changes=changes)] if changes else []),
                draft("usage", run_id, model="m", input_tokens=3, output_tokens=1, cost_usd=0.5),
                draft("status", run_id, status="completed"),
                draft(
                    "done",
                    run_id,
                    status="completed",
                    result=text,
                    usage={"input_tokens": 3, "output_tokens": 1, "cost_usd": 0.5},
                ),
            ],
        )
        return run_id

    def run(self, prompt: str, text: str, files: dict[str, bytes] | None = None) -> str:
        return self.end(self.begin(prompt), text, files or {})

    def scan(self) -> list[Any]:
        return self.workspace.scan(journal.load(self.agent_id).files)

    def fork(self, **body: Any) -> tuple[int, Any]:
        answer: tuple[int, Any] = self.api.call("POST", f"/api/agents/{self.agent_id}/fork", body)
        return answer


@pytest.fixture
def story(api, agent_id) -> Story:
    return Story(api, agent_id)


def files_of(agent_id: str) -> dict[str, bytes]:
    workspace = Workspace(agent_id)
    found = {}
    for entry in workspace.entries().entries:
        with workspace.open_file(entry.path).file as file:
            found[entry.path] = file.read()
    return found


def told(agent_id: str) -> list[str]:
    return [one["content"] for one in history.history(agent_id, journal.load(agent_id), "none")]


def test_a_fork_continues_from_the_end_of_the_run(story, api):
    first = story.run("One?", "One.", {"a.txt": b"1\n", "deep/b.txt": b"b\n"})
    story.run("Two?", "Two.", {"a.txt": b"2\n", "c.txt": b"c\n"})
    status, fork = story.fork(at=first, title="Another way")
    assert (status, fork["title"], fork["status"], fork["definition"]) == (201, "Another way", "completed", "demo")
    assert files_of(fork["id"]) == {"a.txt": b"1\n", "deep/b.txt": b"b\n"}
    assert told(fork["id"]) == ["One?", "One."]
    state = journal.load(fork["id"]).state
    assert {path: file["size"] for path, file in state["files"].items()} == {"a.txt": 2, "deep/b.txt": 2}
    assert state["usage"] == {"input_tokens": 3, "output_tokens": 1, "cost_usd": 0.5}
    (run,) = api.get(f"/api/agents/{fork['id']}/runs")["runs"]
    assert (run["number"], run["input"], run["result"], run["status"]) == (1, "One?", "One.", "completed")
    assert run["id"] != first
    assert state["runs"][0]["id"] == run["id"]
    assert not Workspace(fork["id"]).scan(journal.load(fork["id"]).files), "the log knows what is on disk"
    assert told(story.agent_id) == ["One?", "One.", "Two?", "Two."]


def test_by_default_it_is_the_latest_that_has_ended(story):
    story.run("One?", "One.", {"a.txt": b"1\n"})
    story.run("Two?", "Two.", {"a.txt": b"2\n"})
    story.begin("Three?")
    status, fork = story.fork()
    assert (status, told(fork["id"]), files_of(fork["id"])) == (
        201,
        ["One?", "One.", "Two?", "Two."],
        {"a.txt": b"2\n"},
    )


def test_what_is_open_does_not_come_along(story, api):
    first = story.run("One?", "One.")
    second = story.begin("Two?")
    question = draft("approval-request", second, approval_id="a", question="May I?")
    write(story.agent_id, [question, draft("status", second, status="waiting")])
    api.call("POST", f"/api/agents/{story.agent_id}/runs", {"input": "Three?"})
    fork = story.fork(at=first)[1]
    state = journal.load(fork["id"]).state
    assert (state["active_run"], state["queue"], state["approvals"], state["status"]) == (None, [], [], "completed")
    assert Run.objects.filter(agent=fork["id"]).count() == 1


def test_a_fork_lives_on_and_is_independent_of_its_original(story, api, no_worker):
    story.run("One?", "One.", {"a.txt": b"1\n"})
    fork = story.fork()[1]["id"]
    assert api.call("DELETE", f"/api/agents/{story.agent_id}")[0] == 204
    assert told(fork) == ["One?", "One."]
    run = api.call("POST", f"/api/agents/{fork}/runs", {"input": "Go on"})
    assert (run[0], run[1]["number"]) == (202, 2)
    write(
        fork,
        [draft("status", run[1]["id"], status="running"), draft("text", run[1]["id"], message_id="m", content="!")],
    )
    messages = journal.load(fork).state["messages"]
    assert [part["n"] for one in messages for part in one["parts"]] == [1, 2, 3, 4]
    assert files_of(fork) == {"a.txt": b"1\n"}


def test_a_stream_goes_on_from_the_forks_first_cursor(story, api):
    story.run("One?", "One.")
    fork = story.fork()[1]["id"]
    snapshot = api.get(f"/api/agents/{fork}/snapshot")
    cursor = f"{snapshot['epoch']}-{snapshot['seq']}"
    api.call("PATCH", f"/api/agents/{fork}", {"title": "New"})
    found = api.get(f"/api/agents/{fork}/events?after={cursor}")
    assert [(event["type"], event["seq"]) for event in found["events"]] == [("title", snapshot["seq"] + 1)]
    gone = api.call("GET", f"/api/agents/{fork}/events?after=0-0")
    assert (problem(gone), gone[1]["error"]["details"]["reason"]) == ((410, "cursor-gone"), "trimmed")


def test_pages_come_along_and_what_was_cleared_stays_so(story, api):
    """Later runs have pushed it out of the state meanwhile, and a later clear has moved the beginning."""
    long = "x" * 30_000
    for number in range(10):
        story.run(f"{number}?", long)
    api.call("POST", f"/api/agents/{story.agent_id}/clear")
    wanted = story.run("Here?", "Here.")
    for number in range(10):
        story.run(f"{number}?", long)
    api.call("POST", f"/api/agents/{story.agent_id}/clear")
    pages = list(journal.pages_before(story.agent_id, journal.load(story.agent_id)))
    assert len(pages) >= 4
    fork = story.fork(at=wanted)[1]["id"]
    assert told(fork) == ["Here?", "Here."]
    entries = list(journal.conversation_before(fork, journal.load(fork)))
    assert len(entries) == 22
    assert journal.load(fork).state["messages"] == entries[:2][::-1]
    export_ = [line for line in export(api, fork) if line["type"] == "page"]
    assert [page["clears"] for page in export_] == [True, *[False] * (len(export_) - 1)]


def test_pages_are_copied_one_by_one(story, monkeypatch):
    """However long the conversation is, little of it is in memory."""
    for number in range(12):
        story.run(f"{number}?", "x" * 90_000)
    read, written = [0], [0]
    pages_before, add_page = journal.pages_before, journal.add_page

    def counted(*args: Any) -> Iterator[Any]:
        for page in pages_before(*args):
            read[0] += 1
            yield page

    def add(*args: Any) -> None:
        assert read[0] - written[0] <= 2  # it, and that behind it
        written[0] += 1
        add_page(*args)

    monkeypatch.setattr(journal, "pages_before", counted)
    monkeypatch.setattr(journal, "add_page", add)
    assert story.fork()[0] == 201
    assert written[0] >= 5


def test_a_fork_of_a_trimmed_log_has_the_whole_conversation(story, api):
    first = story.run("One?", "One.", {"a.txt": b"1\n"})
    story.run("Two?", "Two.", {"a.txt": b"2\n"})
    journal.trim(story.agent_id, 2**40)
    fork = story.fork(at=first)[1]["id"]
    assert (told(fork), files_of(fork)) == (["One?", "One."], {"a.txt": b"1\n"})


def test_a_fork_can_be_forked_exported_and_imported(story, api):
    story.run("One?", "One.", {"a.txt": b"1\n", "b.bin": bytes(range(256))})
    fork = story.fork()[1]["id"]
    again = api.call("POST", f"/api/agents/{fork}/fork")[1]["id"]
    imported = take(api, export(api, again))[1]["id"]
    for agent_id in (fork, again, imported):
        assert told(agent_id) == ["One?", "One."]
        assert files_of(agent_id) == files_of(story.agent_id)
    first_seqs = Log.objects.filter(agent_id__in=(fork, again, imported)).values_list("first_seq", flat=True)
    assert len(set(first_seqs)) == 1


def test_what_it_used_elsewhere_is_nobodys_spending(story):
    story.run("One?", "One.")
    before = list(Spending.objects.order_by("scope").values())
    story.fork()
    assert list(Spending.objects.order_by("scope").values()) == before


# The workspace ------------------------------------------------------------------------------------------------------


def test_a_file_that_is_no_text_comes_from_the_disk_while_it_is_the_same(story):
    data = bytes(range(256)) * 1000
    story.run("One?", "One.", {"b.bin": data, "a.txt": b"1\n"})
    story.run("Two?", "Two.", {"a.txt": b"2\n"})
    assert files_of(story.fork(at=str(Run.objects.get(agent=story.agent_id, number=1).pk))[1]["id"]) == {
        "a.txt": b"1\n",
        "b.bin": data,
    }


def test_one_that_has_changed_since_is_not_kept(story):
    first = story.run("One?", "One.", {"b.bin": bytes(range(256)), "a.txt": b"1\n"})
    story.run("Two?", "Two.", {"b.bin": bytes(range(255, -1, -1))})
    answer = story.fork(at=first)
    assert problem(answer) == (409, "workspace-not-kept")
    assert answer[1]["error"]["details"]["paths"] == ["b.bin"]
    assert Agent.objects.count() == 1


def test_nor_is_one_that_is_gone(story):
    first = story.run("One?", "One.", {"b.bin": bytes(range(256))})
    story.workspace.delete("b.bin")
    assert problem(story.fork(at=first)) == (409, "workspace-not-kept")


def test_a_large_file_is_known_by_what_the_kernel_says(story, settings):
    settings.HISTORY_FILE_KIB = 1
    settings.HASH_MAX_BYTES = 1024
    first = story.run("One?", "One.", {"large": b"x" * 5000})
    fork = story.fork(at=first)[1]
    assert files_of(fork["id"]) == {"large": b"x" * 5000}
    story.workspace.write_file("large", [b"y" * 5000])
    assert problem(story.fork(at=first)) == (409, "workspace-not-kept")


def test_without_a_history_the_latest_run_can_be_forked_until_files_change(story, settings):
    settings.HISTORY_MIB = 0
    first = story.run("One?", "One.", {"a.txt": b"1\n"})
    assert files_of(story.fork(at=first)[1]["id"]) == {"a.txt": b"1\n"}
    story.run("Two?", "Two.")
    assert problem(story.fork(at=first)) == (409, "workspace-not-kept")


def test_a_workspace_with_more_files_than_are_looked_at_is_not_kept(story, settings):
    settings.WORKSPACE_SCAN_FILES = 2
    first = story.run("One?", "One.", {"a": b"1", "b": b"2", "c": b"3"})
    assert problem(story.fork(at=first)) == (409, "workspace-not-kept")


# What can't be ------------------------------------------------------------------------------------------------------


def test_without_an_ended_run_there_is_nothing_to_fork(story):
    assert problem(story.fork()) == (409, "run-not-ended")
    run_id = story.begin("One?")
    assert problem(story.fork()) == (409, "run-not-ended")
    assert problem(story.fork(at=run_id)) == (409, "run-not-ended")


def test_the_run_has_to_be_this_agents(story, api, stranger):
    first = story.run("One?", "One.")
    other = api.call("POST", "/api/agents", {"definition": "demo"})[1]["id"]
    assert problem(api.call("POST", f"/api/agents/{other}/fork", {"at": first})) == (404, "not-found")
    assert problem(story.fork(at="nonsense")) == (404, "not-found")
    assert problem(stranger.call("POST", f"/api/agents/{story.agent_id}/fork")) == (404, "not-found")
    assert problem(story.fork(from_=first)) == (422, "invalid-input")


@pytest.mark.parametrize("where", ["add_page", "create_trimmed"])
def test_a_failure_in_the_middle_leaves_nothing(story, user, tmp_path, monkeypatch, where):
    for _ in range(10):
        story.run("?", "x" * 30_000, {"a.txt": b"1\n"})

    def fail(*args: Any) -> None:
        raise RuntimeError(where)

    monkeypatch.setattr(journal, where, fail)
    with pytest.raises(RuntimeError):
        transfer.fork_agent(user, Agent.objects.get(pk=story.agent_id))
    assert [str(pk) for pk in Agent.objects.values_list("pk", flat=True)] == [story.agent_id]
    assert [path.name for path in (tmp_path / "workspaces").iterdir()] == [story.agent_id]
    assert {str(pk) for pk in Log.objects.values_list("agent_id", flat=True)} == {story.agent_id}
    assert not ConversationPage.objects.exclude(agent_id=story.agent_id).exists()


@on_postgres
def test_a_process_that_is_killed_in_the_middle_leaves_files_that_are_swept_up(story, user, settings):
    """It dies with its transaction open, and with the workspace already copied."""
    story.run("One?", "One.", {"a.txt": b"1\n"})

    def die(*args: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if not pid:
        try:
            for connection in connections.all():
                connection.connection = None  # the parent's: psycopg closes it in the process that has opened it only
                connection.connect()
            with mock.patch.object(journal, "create_trimmed", die):
                transfer.fork_agent(user, Agent.objects.get(pk=story.agent_id))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert Agent.objects.count() == 1
    left = {path.name for path in settings.WORKSPACES_DIR.iterdir()} - {story.agent_id}
    assert len(left) == 1
    settings.WORKSPACE_GRACE_H = 0
    assert cleanup.sweep() == 1
    assert not any((settings.WORKSPACES_DIR / name).exists() for name in left)
    assert story.fork()[0] == 201
