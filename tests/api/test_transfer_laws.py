"""The laws of export, import and fork, for any log: with pages, cleared, trimmed at any place, or not at all."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from agents import transfer
from agents.models import Agent, Run
from agents.programs.translator import user_message_id
from agents.runs import commands
from agents.workspace import Workspace
from agents.workspace.history import History
from streaming.model.events import Draft, Event, draft, encode
from streaming.model.folded import Folded
from streaming.store import journal
from tests.api.conftest import write
from tests.golden.logs import DATA, large
from tests.nightly import examples

some = settings(
    max_examples=examples(36),
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # each example takes long: shrinking one would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SAID = [
    *(
        "message",
        "text",
        "thinking",
        "tool-call",
        "tool-output",
        "tool-result",
        "plan",
        "log",
        "budget",
        "error",
        "usage",
    ),
    *("approval-request", "approval-response"),
]
Said = list[tuple[str, dict[str, Any]]]

said = st.lists(st.sampled_from(SAID).flatmap(lambda type_: st.tuples(st.just(type_), DATA[type_])), max_size=12)
histories = st.lists(st.tuples(said, st.booleans()), min_size=1, max_size=4)
"""What each run says, and whether the conversation begins anew behind it."""
times_large = st.sampled_from([1, 300, 3000])


def run_events(run_id: str, said: Said, times: int) -> list[Draft]:
    drafts = [draft("status", run_id, status="running", attempt=1)]
    for type_, data in said:
        made = draft(type_, run_id, **data)
        drafts.append(Draft(type_, run_id, large(Event(type_, "", run_id, 1, 1, "", made.data), times).data))
    status = "failed" if len(said) % 3 == 0 else "completed"
    tokens = {
        name: sum(one[name] for type_, one in said if type_ == "usage") for name in ("input_tokens", "output_tokens")
    }
    done = draft("done", run_id, status=status, result=len(said), usage={**tokens, "cost_usd": None})
    return [*drafts, draft("status", run_id, status=status), done]


def live(user: Any, history: list[tuple[Said, bool]], times: int) -> Agent:
    """An agent that has lived through it, with a writer for each run."""
    agent, _ = commands.create_agent(user, "demo", title="Of a law")
    for number, (said, clears) in enumerate(history, 1):
        run = Run.objects.create(agent=agent, number=number, input=f"Do {number}")
        run_id = str(run.pk)
        prompt = draft("message", run_id, message_id=user_message_id(run_id), role="user", content=run.input)
        kept, workspace = History(agent.pk), Workspace(agent.pk)
        workspace.write_file("number", [str(number).encode()])
        kept.keep(run_id, "before", workspace)
        kept.keep(run_id, "after", workspace)
        write(str(agent.pk), [prompt, draft("status", run_id, status="queued"), *run_events(run_id, said, times)])
        if clears:
            commands.clear(agent)
    return agent


def lines_of(agent: Agent) -> list[bytes]:
    return list(transfer.export_lines(agent))


def named(texts: list[str]) -> list[str]:
    """With numbers in place of ids, in the order in which they come."""
    names: dict[str, str] = {}
    return [UUID.sub(lambda found: names.setdefault(found[0], f"id-{len(names)}"), text) for text in texts]


def told(agent: Agent) -> list[str]:
    """The state, all of its pages, the manifest and the events of a log, and its runs' rows."""
    agent_id = str(agent.pk)
    folded = journal.load(agent_id)
    pages = [
        f"{page.before} {page.clears} {journal.page_json(page)}" for page in journal.pages_before(agent_id, folded)
    ]
    fields = [one.name for one in Run._meta.concrete_fields if one.name not in ("id", "agent", "created_at")]
    rows = [json.dumps(row, default=str) for row in agent.runs.order_by("number").values(*fields)]
    events = [event.encode() for event in journal.events(agent_id)]
    runs = [run["id"] for run in folded.state["runs"]]
    return named(
        [agent_id, *runs, encode(folded.state), encode(folded.files), str(folded.cursor), *pages, *events, *rows]
    )


def forget(*agents: Agent) -> None:
    for agent in agents:
        commands.delete_agent(agent)


@given(history=histories, times=times_large, trimmed=st.floats(0, 1))
@some
def test_an_export_of_an_import_is_the_export(user, history, times, trimmed):
    agent = live(user, history, times)
    agent_id = str(agent.pk)
    journal.trim(agent_id, int(journal.head(agent_id).tip.seq * trimmed) + 1)
    lines = lines_of(agent)
    imported = transfer.import_agent(user, lines)
    assert named([line.decode() for line in lines_of(imported)]) == named([line.decode() for line in lines])
    assert told(imported) == told(agent)
    assert journal.head(str(imported.pk)).first_seq == journal.head(agent_id).first_seq
    forget(agent, imported)


def conversation(folded: Folded, agent_id: str) -> list[Any]:
    entries = list(journal.conversation_before(agent_id, folded))
    parts = [(part["n"], entry["role"], part) for entry in entries for part in entry["parts"]]
    return sorted(parts, key=lambda one: one[0])


def parts_of(messages: list[Any]) -> list[Any]:
    """In their order; a message may be in several entries if others' parts came between its own."""
    heads = [{**one, "parts": None} for one in messages]
    parts = [(part["n"], head, part) for head, one in zip(heads, messages, strict=True) for part in one["parts"]]
    return sorted(parts, key=lambda one: one[0])


def without_ids(value: Any) -> Any:
    return json.loads(UUID.sub("", encode(value)))


@given(history=histories, times=times_large, trimmed=st.floats(0, 1), data=st.data())
@some
def test_a_fork_is_what_the_log_came_to_at_the_end_of_the_run(user, history, times, trimmed, data):
    """Whatever came later, and whatever has been trimmed since: as if all events up to there were folded."""
    agent = live(user, history, times)
    agent_id = str(agent.pk)
    run = data.draw(st.sampled_from(list(agent.runs.order_by("number"))))
    then = Folded()
    then.take(event for event in journal.events(agent_id) if event.seq <= run.last_seq)
    journal.trim(agent_id, int(journal.head(agent_id).tip.seq * trimmed) + 1)
    fork = transfer.fork_agent(user, agent, run)
    folded = journal.load(str(fork.pk))
    assert folded.cursor == then.cursor
    assert without_ids(parts_of(folded.state["messages"])) == without_ids(parts_of(then.state["messages"]))
    for key in ("earlier", "cleared", "status", "title", "active_run", "queue", "runs_total"):
        assert without_ids(folded.state.get(key)) == without_ids(then.state.get(key)), key
    plan = without_ids(folded.state.get("plan"))
    assert plan in (None, without_ids(then.state.get("plan")))  # None where a later run has made one
    for name in ("input_tokens", "output_tokens"):
        assert folded.state["usage"][name] == then.state["usage"][name]
    expected = [*then.state["messages"], *(entry for page in then.pages for entry in page.messages)]
    parts = sorted(
        ((part["n"], one["role"], part) for one in expected for part in one["parts"]), key=lambda one: one[0]
    )
    assert without_ids(conversation(folded, str(fork.pk))) == without_ids(parts)
    assert folded.state["parts_total"] <= then.state["parts_total"]
    assert not list(journal.events(str(fork.pk)))
    with Workspace(fork.pk).open_file("number").file as file:
        assert file.read() == str(run.number).encode()
    again = transfer.import_agent(user, lines_of(fork))
    assert told(again) == told(fork)
    forget(agent, fork, again)
