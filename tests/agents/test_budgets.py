"""Budgets: what stops a run and when, what people are told before, what is asked, and that nobody loses count."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from agents.definitions.budget import RunBudget
from agents.errors import InputInvalid
from agents.gateway.budgets import spending
from agents.models import ApprovalAnswer, Attempt, Run, Spending
from agents.runs import commands
from streaming.model.events import Event
from tests.agents import mock_upstream as said
from tests.agents.mock_upstream import MockUpstream, stream, whole
from tests.agents.site import Site, errors, text, until
from tests.agents.test_providers import WALLED, caller, calling_site, mock, usages

__all__ = ["calling_site", "mock"]
CALL_TOKENS = 15
"""What each call of the mock's uses."""
ALWAYS = "while chat() == 200:\n    say('text', content='.')\nnote('refused')\ntime.sleep(600)"


def budgets(events: list[Event]) -> list[tuple[str, str, float, float]]:
    return [tuple(event.data.values()) for event in events if event.type == "budget"]


def taken_over(site: Site, run: Run) -> bool:
    return any(str(event.data.get("reason")).startswith("taken over") for event in site.events(run))


def message(events: list[Event]) -> str:
    return str(next(event.data["message"] for event in events if event.type == "error"))


@pytest.fixture
def calls(mock: MockUpstream) -> MockUpstream:
    mock.always = stream(*said.chat_stream())
    return mock


@pytest.mark.parametrize(
    ("budget", "made", "words"),
    [
        ({"tokens": 40}, 3, "the run has used 45 of 40 tokens"),
        ({"model_calls": 2}, 2, "the run has used 2 of 2 model calls"),
        ({"cost_usd": 0.000015}, 2, "the run has used $1.62e-05 of $1.5e-05"),
    ],
)
def test_a_run_over_its_budget_is_stopped_by_its_next_call(
    site: Site, calls: MockUpstream, budget: dict[str, float], made: int, words: str
) -> None:
    site.worker()
    caller(site, "asks", ALWAYS, budget=budget)
    events = site.ended("asks")
    assert len(calls.asked) == len(usages(events)) == made
    assert errors(events) == ["budget-exceeded"]
    assert message(events) == words
    assert events[-1].data["status"] == "failed"
    assert [event.type for event in events].count("done") == 1
    ((scope, kind, used, limit),) = budgets(events)
    assert (scope, kind, limit) == ("run", next(iter(budget)), next(iter(budget.values())))
    assert used >= 0.8 * limit


def test_at_four_fifths_an_event_says_so_once(site: Site, calls: MockUpstream) -> None:
    site.worker()
    caller(site, "asks", "for _ in range(5):\n    chat()", budget={"tokens": 6 * CALL_TOKENS - 15})
    events = site.ended("asks")
    assert errors(events) == []
    assert budgets(events) == [("run", "tokens", 60, 75)]
    at = next(at for at, event in enumerate(events) if event.type == "budget")
    assert [event.type for event in events[:at]].count("usage") == 4
    assert site.state(Run.objects.get(pk=str(events[0].run_id)))["runs"][0]["budget"][0]["used"] == 60


def test_what_a_provider_refuses_uses_nothing(site: Site, mock: MockUpstream) -> None:
    site.worker()
    mock.always = whole({"error": {"message": "slow down"}}, 429)
    mock.then.extend([whole({"error": {"message": "slow down"}}, 429)] * 3)
    mock.then.append(stream(*said.chat_stream()))
    caller(site, "asks", "for _ in range(4):\n    chat()", budget={"model_calls": 1})
    events = site.ended("asks")
    assert errors(events) == []
    assert len(usages(events)) == 1


def test_calls_at_once_get_no_more_places_than_there_are(site: Site, mock: MockUpstream) -> None:
    site.worker()
    go_on = threading.Event()
    *first, last = said.chat_stream()
    mock.always = stream(*first, last, wait=go_on)
    caller(
        site,
        "asks",
        "import threading\nthreads = [threading.Thread(target=chat) for _ in range(8)]\n"
        "for one in threads: one.start()\nfor one in threads: one.join()\ntime.sleep(600)",
        budget={"model_calls": 3},
    )
    events = site.ended("asks")
    go_on.set()
    assert errors(events) == ["budget-exceeded"]
    assert len(mock.asked) <= 3


@pytest.mark.parametrize(
    "code", ['say("tool-call", call_id=str(i), name="t", arguments={})', 'say("text", content="x")']
)
def test_tool_calls_and_time_need_no_model(site: Site, code: str) -> None:
    site.worker()
    program = f"for i in range(5):\n    {code}\ntime.sleep(600)"
    budget = {"tool_calls": 3, "wall_s": 2.0}
    site.define("acts", program, budget=budget)
    events = site.ended("acts")
    assert errors(events) == ["budget-exceeded"]
    if "tool-call" in code:
        assert message(events) in [f"the run has used {used} of 3 tool calls" for used in (4, 5)]
        assert ("run", "tool_calls") in [one[:2] for one in budgets(events)]
    else:
        assert message(events).endswith("of 2 s")
        assert [one[:2] for one in budgets(events)] == [("run", "wall_s")]


# Asked for, narrowed -----------------------------------------------------------------------------------------------


def test_who_starts_a_run_can_narrow_its_budget_and_not_widen_it(site: Site, calls: MockUpstream) -> None:
    site.worker()
    caller(site, "asks", ALWAYS, budget={"tokens": 1000})
    agent = site.agent("asks")
    with pytest.raises(InputInvalid) as refused:
        commands.submit_run(agent, "go", budget=RunBudget(tokens=1001, model_calls=5))
    assert refused.value.details["field"] == "budget.tokens"
    run = commands.submit_run(agent, "go", budget=RunBudget(tokens=20, model_calls=100))
    events = site.end(run)
    assert errors(events) == ["budget-exceeded"]
    assert len(calls.asked) == 2
    again = commands.retry(run)
    assert again.budget == {"tokens": 20, "model_calls": 100}
    assert errors(site.end(again)) == ["budget-exceeded"]
    assert len(calls.asked) == 4, "a run's budget is its own"


# Asking ------------------------------------------------------------------------------------------------------------


def asked(site: Site, run: Run, count: int = 1) -> str:
    site.wait_status(run, "waiting")
    approval_id: str = site.wait_event(run, "approval-request", count)[-1].data["approval_id"]
    return approval_id


@pytest.mark.parametrize(
    ("kind", "limit", "words"),
    [
        ("tokens", 30, "60 of 60 tokens"),
        ("model_calls", 2, "4 of 4 model calls"),
        ("cost_usd", 1.6e-5, "$3.24e-05 of $3.2e-05"),
    ],
)
def test_a_run_that_asks_waits_and_goes_on_with_as_much_again(
    site: Site, calls: MockUpstream, kind: str, limit: float, words: str
) -> None:
    site.worker()
    caller(site, "asks", "for _ in range(5):\n    chat()", budget={kind: limit, "exceeded": "ask"})
    run = site.start("asks")
    assert asked(site, run) == f"budget:{kind}:1"
    assert len(calls.asked) == 2
    commands.answer_approval(run, f"budget:{kind}:1", "approve", "ada")
    assert asked(site, run, 2) == f"budget:{kind}:2"
    assert len(calls.asked) == 4
    commands.answer_approval(run, f"budget:{kind}:2", "deny", "ada", "enough")
    events = site.end(run)
    assert errors(events) == ["budget-exceeded"]
    assert words in message(events)
    assert [(one[1], one[3]) for one in budgets(events)] == [(kind, limit), (kind, 2 * limit)]
    assert "approval" not in text(events), "the answer is not the program's business"


def test_a_program_cannot_ask_in_the_sites_name(site: Site) -> None:
    site.worker()
    site.define("forges", 'say("approval-request", approval_id="budget:tokens:1", question="?")')
    events = site.ended("forges")
    assert [event.type for event in events if event.type.startswith("approval")] == []
    assert [event.type for event in events].count("log") == 1


@pytest.mark.slow
@pytest.mark.parametrize("calling_site", WALLED[:1], indirect=True)
def test_a_question_outlives_its_worker(calling_site: Site, calls: MockUpstream) -> None:
    site = calling_site
    first = site.worker()
    code = """
for _ in range(3):
    while True:
        try:
            chat()
            break
        except (OSError, http.client.HTTPException):
            pass
"""
    caller(site, "asks", code, budget={"tokens": 30, "exceeded": "ask"})
    run = site.start("asks")
    asked(site, run)
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    until(lambda: taken_over(site, run), "another has the run")
    commands.answer_approval(run, "budget:tokens:1", "approve", "ada")
    events = site.end(run)
    assert errors(events) == []
    assert text(events) == "Hello" * 3
    assert [event.type for event in events].count("approval-request") == 1
    assert ApprovalAnswer.objects.count() == 1


# Takeover, agents, users -------------------------------------------------------------------------------------------


def test_counting_goes_on_in_the_next_worker(site: Site, calls: MockUpstream) -> None:
    first = site.worker()
    code = "chat()\nchat()\nnote('two')\nwait('go')\n" + ALWAYS
    caller(site, "asks", code, budget={"tokens": 4 * CALL_TOKENS})
    run = site.start("asks")
    site.wait_file(run, "two")
    site.kill(first)
    site.expire(run.agent)
    site.ask_worker(site.worker(), str(run.agent_id))
    until(lambda: taken_over(site, run), "another has the run")
    site.let(run, "go")
    events = site.end(run)
    assert errors(events) == ["budget-exceeded"]
    assert len(usages(events)) == 4
    assert events[-1].data["usage"]["input_tokens"] == 48
    assert [one[1:] for one in budgets(events)] == [("tokens", 60, 60)]


of_agents_and_users = pytest.mark.parametrize(
    ("setting", "scope", "whose"),
    [("BUDGET_AGENT", "agent", "the agent"), ("BUDGET_USER_DAY", "user-day", "its user today")],
)


@pytest.mark.sqlite
@of_agents_and_users
@pytest.mark.parametrize(
    ("kind", "limit", "words"),
    [
        ("tokens", 4 * CALL_TOKENS, "60 of 60 tokens"),
        ("model_calls", 4, "4 of 4 model calls"),
        ("cost_usd", 4 * 8.1e-6, "$3.24e-05 of $3.24e-05"),
    ],
)
def test_the_site_limits_agents_and_users_over_all_runs(
    site: Site, calls: MockUpstream, setting: str, scope: str, whose: str, kind: str, limit: float, words: str
) -> None:
    setattr(site.settings, setting, {"tokens": 1000, "model_calls": 100, kind: limit})
    site.worker()
    site.worker()
    caller(site, "three", "for _ in range(3):\n    chat()")
    caller(site, "asks", ALWAYS, budget={"exceeded": "ask"})
    agent = site.agent("three")
    assert errors(site.end(commands.submit_run(agent, "go"))) == []
    if scope == "agent":
        site.end(commands.submit_run(site.agent("three"), "go"))  # another agent of the same user has its own
        events = site.end(commands.submit_run(agent, "go"))
    else:
        events = site.ended("asks")
    assert errors(events) == ["budget-exceeded"]
    assert len(usages(events)) == 1
    assert message(events) == f"{whose} has used {words}"
    ((*what, used, most),) = budgets(events)
    assert (what, most) == ([scope, kind], limit)
    assert used == pytest.approx(limit)


@pytest.mark.sqlite
@of_agents_and_users
def test_the_site_limits_tool_calls_over_all_runs(site: Site, setting: str, scope: str, whose: str) -> None:
    setattr(site.settings, setting, {"tool_calls": 5})
    site.worker()
    acts = "for i in range({}):\n    say('tool-call', call_id=str(i), name='t', arguments={{}})\n"
    agent = site.agent(site.define("acts", acts.format(4)))
    assert errors(site.end(commands.submit_run(agent, "go"))) == []
    site.define("acts", acts.format(1) + "wait('go')\n" + acts.format(1) + "time.sleep(600)")
    run = commands.submit_run(agent, "go")
    assert [event.data["kind"] for event in site.wait_event(run, "budget")] == ["tool_calls"]
    assert errors(site.events(run)) == [], "the last one is not one too many"
    site.let(agent, "go")
    events = site.end(run)
    assert errors(events) == ["budget-exceeded"]
    assert message(events) == f"{whose} has used 6 of 5 tool calls"


@pytest.mark.sqlite
@of_agents_and_users
def test_the_site_limits_the_time_of_all_runs(site: Site, setting: str, scope: str, whose: str) -> None:
    setattr(site.settings, setting, {"wall_s": 101.0})
    site.worker()
    run = site.start(site.define("works", "time.sleep(0.2)"))
    events = site.end(run)
    assert errors(events) == []
    took_s = events[-1].data["duration_ms"] / 1000
    assert list(Spending.objects.values_list("wall_s", flat=True)) == [pytest.approx(took_s)] * 2
    Spending.objects.update(wall_s=100)
    site.define("works", "time.sleep(600)")
    agent = run.agent if scope == "agent" else site.agent("works")
    events = site.end(commands.submit_run(agent, "go"))
    assert errors(events) == ["budget-exceeded"]
    assert message(events).startswith(f"{whose} has used 10")
    assert message(events).endswith(" of 101 s")
    assert [one[:2] for one in budgets(events)] == [(scope, "wall_s")]


def test_what_a_run_waits_for_answers_is_nobodys_time(site: Site) -> None:
    site.worker()
    run = site.start(site.define("asks", "say('approval-request', approval_id='a', question='?')\nread()"))
    site.wait_status(run, "waiting")
    until(lambda: Attempt.objects.filter(run=run).exclude(waiting_since=None).exists(), "its time stands still")
    Attempt.objects.filter(run=run).update(waiting_since=Now() - timedelta(seconds=100))
    commands.answer_approval(run, "a", "approve", "ada")
    site.end(run)
    assert set(Spending.objects.values_list("wall_s", flat=True)) <= {0.0}


@pytest.mark.sqlite
def test_what_was_spent_is_what_the_logs_say_and_outlives_the_agent(site: Site, calls: MockUpstream) -> None:
    site.worker()
    caller(site, "asks", "for _ in range(3):\n    chat()")
    run = site.start("asks")
    events = site.end(run)
    rows = {row.scope.split(":")[0]: row for row in Spending.objects.all()}
    assert set(rows) == {"agent", "user"}
    for row in rows.values():
        assert (row.tokens, row.model_calls) == (45, 3)
        assert row.cost_usd == pytest.approx(events[-1].data["usage"]["cost_usd"])
    commands.delete_agent(run.agent)
    assert Spending.objects.count() == 2


@pytest.mark.sqlite
def test_the_day_is_the_databases(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = site.agent(site.define("any"))
    site.settings.BUDGET_USER_DAY = {"tokens": 10}
    scope = f"user:{site.owner.pk}:{spending.today()}"
    Spending.objects.create(scope=scope, tokens=9)
    (share,) = spending.shares(str(agent.pk))
    assert (share.used, share.is_near, share.is_used_up) == (9, True, False)
    monkeypatch.setattr(spending, "today", lambda: "2000-01-01")
    assert spending.shares(str(agent.pk))[0].used == 0
