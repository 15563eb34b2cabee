"""POST /api/agents/{id}/clear"""

from __future__ import annotations

from agents.models import Run
from agents.programs import history
from agents.programs.translator import user_message_id
from agents.runs import commands
from streaming.model.events import draft
from streaming.store import journal
from tests.api.conftest import problem, write


def end_run(api, agent_id: str, text: str) -> str:
    """A run that says `text`, from its prompt to its end."""
    run_id: str = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": f"Say {text}"})[1]["id"]
    write(
        agent_id,
        [
            draft("status", run_id, status="running"),
            draft("text", run_id, message_id="m", content=text),
            draft("status", run_id, status="completed"),
            draft("done", run_id, status="completed"),
        ],
    )
    return run_id


def told(agent_id: str) -> list[str]:
    """What the program of a next run would be told."""
    return [one["content"] for one in history.history(agent_id, journal.load(agent_id), "none")]


def test_the_conversation_begins_anew_for_programs_and_in_the_state(api, agent_id):
    end_run(api, agent_id, "one")
    assert told(agent_id) == ["Say one", "one"]
    status, answer = api.call("POST", f"/api/agents/{agent_id}/clear")
    assert (status, answer["id"]) == (202, agent_id)
    assert told(agent_id) == []
    state = api.get(f"/api/agents/{agent_id}/snapshot")["state"]
    assert (state["messages"], state["cleared"], state["runs_total"]) == ([], 2, 1)
    end_run(api, agent_id, "two")
    assert told(agent_id) == ["Say two", "two"]


def test_log_older_conversation_and_runs_stay(api, agent_id):
    run_id = end_run(api, agent_id, "one")
    before = [event.encode() for event in journal.events(agent_id)]
    api.call("POST", f"/api/agents/{agent_id}/clear")
    *events, clear = journal.events(agent_id)
    assert [event.encode() for event in events] == before
    assert (clear.type, clear.run_id, clear.data) == ("clear", None, {})
    earlier = api.get(f"/api/agents/{agent_id}/snapshot")["state"]["earlier"]["before"]
    page = api.get(f"/api/agents/{agent_id}/messages?before={earlier}")
    assert [one["run_id"] for one in page["messages"]] == [run_id] * 2
    assert api.get(f"/api/runs/{run_id}")["status"] == "completed"


def test_it_is_refused_while_a_run_is_open(api, agent_id):
    run_id = api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "Wait"})[1]["id"]
    assert problem(api.call("POST", f"/api/agents/{agent_id}/clear")) == (409, "agent-busy")
    write(agent_id, [draft("status", run_id, status="running")])
    assert problem(api.call("POST", f"/api/agents/{agent_id}/clear")) == (409, "agent-busy")
    assert "clear" not in {event.type for event in journal.events(agent_id)}


def test_a_run_that_is_not_in_the_log_yet_is_open_too(api, agent_id, monkeypatch):
    """Its row is there first."""
    from agents.models import Agent

    Run.objects.create(agent=Agent.objects.get(pk=agent_id), number=1, input="x")
    assert problem(api.call("POST", f"/api/agents/{agent_id}/clear")) == (409, "agent-busy")


def test_a_run_that_is_posted_meanwhile_begins_behind_it(api, agent_id, monkeypatch):
    """After the look at open runs, before the event is in: its prompt is not cleared with the rest."""
    from agents.log import brief_writer
    from agents.models import Agent

    agent = Agent.objects.get(pk=agent_id)
    posted: list[Run] = []
    append = brief_writer._append

    async def slowly(*args):
        from streaming.store.database import in_database

        posted.append(await in_database(lambda: Run.objects.create(agent=agent, number=1, input="Mine")))
        await append(*args)

    monkeypatch.setattr(brief_writer, "_append", slowly)
    assert api.call("POST", f"/api/agents/{agent_id}/clear")[0] == 202
    monkeypatch.undo()
    brief_writer.settle_now(agent_id)
    assert [event.type for event in journal.events(agent_id)] == ["clear", "message", "status"]
    write(agent_id, [draft("status", str(posted[0].pk), status="running")])
    assert journal.load(agent_id).state["messages"][0]["id"] == user_message_id(str(posted[0].pk))


def test_somebody_elses_conversation_is_not_there(stranger, agent_id):
    assert problem(stranger.call("POST", f"/api/agents/{agent_id}/clear")) == (404, "not-found")


def test_a_deleted_agent_has_none(api, agent_id):
    from agents.models import Agent

    agent = Agent.objects.get(pk=agent_id)
    commands.delete_agent(agent)
    assert problem(api.call("POST", f"/api/agents/{agent_id}/clear")) == (404, "not-found")
