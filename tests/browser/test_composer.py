"""The prompt box: prompts for a run that is active, the queue, and going on behind a run that ended badly."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from agents.definitions import Definition
from streaming.model.events import Event, draft
from tests.browser.logs import AGENT, RUN, log_of, settled, started
from tests.browser.stub import Stub

pytestmark = pytest.mark.browser
QUEUED = "0193467e-7e2b-7d00-8a11-000000000102"
STEERED = Definition(name="agent", image="x", model="openai:gpt-5-mini", steering=True)


def queued(content: str, run: str = QUEUED, after: int = 3) -> list[Event]:
    made = [
        draft("message", run, message_id="u", role="user", content=content),
        draft("status", run, status="queued"),
    ]
    return [
        Event(one.type, AGENT, run, 1, seq, "2026-11-20T12:00:01.000000Z", one.data)
        for seq, one in enumerate(made, after + 1)
    ]


def ended(status: str, says: str = "I begin.", **error: str) -> list[Event]:
    said: list[tuple[str, dict[str, object]]] = [("text", {"message_id": "m", "content": says})] if says else []
    problem: list[tuple[str, dict[str, object]]] = [("error", dict(error))] if error else []
    return log_of(*started(), *said, *problem, ("done", {"status": status}))


def test_strategy_is_offered_while_a_run_is_active_and_goes_along(stub: Stub, watched: Page) -> None:
    stub.definition = STEERED
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    choice = watched.get_by_label("What happens to the run that is active")
    assert choice.locator("option").all_inner_texts() == [
        "Queue: when it is done",
        "Steer: into its work",
        "Interrupt: stop it first",
    ]
    choice.select_option("interrupt")
    box = watched.get_by_label("Prompt")
    box.fill("Stop that, do this.")
    box.press("Enter")
    expect(box).to_have_value("")
    assert json.loads(stub.request()[2]) == {"input": "Stop that, do this.", "strategy": "interrupt"}
    expect(choice).to_have_value("enqueue")
    stub.append(log_of(("done", {"status": "completed"}), after=3))
    expect(choice).to_be_hidden()


def test_draft_is_there_after_a_reload_until_it_is_sent(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    box = watched.get_by_label("Prompt")
    box.fill("half a thought")
    watched.reload()
    expect(box).to_have_value("half a thought")
    box.press("Enter")
    expect(box).to_have_value("")
    watched.reload()
    settled(watched, stub)
    expect(box).to_have_value("")


def test_steering_is_offered_only_where_the_definition_allows_it(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    expect(watched.locator("#strategy option")).to_have_count(2)


def test_another_strategy_is_another_request(stub: Stub, watched: Page) -> None:
    """The same idempotency key would answer with the first one."""
    keys: list[str] = []
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)

    def refuse(route) -> None:
        keys.append(route.request.headers["idempotency-key"])
        route.fulfill(status=503, json={"error": {"code": "x", "message": "Not now."}})

    watched.route("**/runs", refuse)
    box = watched.get_by_label("Prompt")
    box.fill("words")
    for strategy in ("enqueue", "enqueue", "interrupt"):
        watched.locator("#strategy").select_option(strategy)
        with watched.expect_response("**/runs"):
            watched.get_by_role("button", name="Send").click()
        expect(watched.get_by_role("button", name="Send")).to_be_enabled()
    assert keys[0] == keys[1] != keys[2]


def test_queue_shows_what_waits_and_lets_it_be_withdrawn(stub: Stub, watched: Page) -> None:
    stub.append([*log_of(*started()), *queued("And <b>then</b> this.")])
    watched.goto(stub.page_url)
    row = watched.locator("#queue li")
    expect(row.locator(".queue-text")).to_have_text("And <b>then</b> this.")
    expect(watched.locator(".turn")).to_have_count(1)
    row.get_by_role("button", name="Withdraw").click()
    assert stub.request()[:2] == ("POST", f"/api/runs/{QUEUED}/cancel")
    done = draft("done", QUEUED, status="cancelled")
    stub.append([Event(done.type, AGENT, QUEUED, 1, 6, "2026-11-20T12:00:02.000000Z", done.data)])
    expect(watched.locator("#queue")).to_be_hidden()
    expect(watched.locator(".turn").nth(1)).to_contain_text("Withdrawn.")


def test_prompt_that_was_withdrawn_can_only_be_tried_again(stub: Stub, watched: Page) -> None:
    done = draft("done", QUEUED, status="cancelled")
    ended = Event(done.type, AGENT, QUEUED, 1, 6, "2026-11-20T12:00:02.000000Z", done.data)
    stub.append([*log_of(*started()), *queued("Never mind."), ended])
    watched.goto(stub.page_url)
    row = watched.locator("#run-list li").first
    expect(row.get_by_role("button", name="Try again: run 2")).to_be_visible()
    expect(row.get_by_role("button", name="Continue")).to_be_hidden()


def test_queue_is_put_into_another_order(stub: Stub, watched: Page) -> None:
    others = [f"0193467e-7e2b-7d00-8a11-00000000020{n}" for n in range(3)]
    stub.append(log_of(*started()))
    for n, run in enumerate(others):
        stub.append(queued(f"number {n}", run, after=3 + 2 * n))
    watched.goto(stub.page_url)
    rows = watched.locator("#queue li")
    expect(rows).to_have_count(3)
    expect(rows.nth(0).get_by_role("button", name="Move up")).to_be_hidden()
    expect(rows.nth(2).get_by_role("button", name="Move down")).to_be_hidden()
    wanted = [(0, "down", others[2]), (1, "down", None), (1, "up", others[0]), (2, "up", others[1])]
    for row, way, _ in wanted:
        with watched.expect_response("**/move"):
            rows.nth(row).get_by_role("button", name=f"Move {way}").click()
    assert [json.loads(body)["before"] for _, _, body in stub.requests] == [before for _, _, before in wanted]
    assert stub.requests[0][1] == f"/api/runs/{others[0]}/move"
    moved = draft("status", others[2], status="queued", position=0)
    stub.append([Event("status", AGENT, others[2], 1, 10, "2026-11-20T12:00:02.000000Z", moved.data)])
    expect(rows.locator(".queue-text")).to_have_text(["number 2", "number 0", "number 1"])


def test_queued_prompt_becomes_a_turn_when_it_begins(stub: Stub, watched: Page) -> None:
    stub.append([*log_of(*started()), *queued("Next.")])
    watched.goto(stub.page_url)
    expect(watched.locator("#queue li")).to_have_count(1)
    done, begun = draft("done", RUN, status="completed"), draft("status", QUEUED, status="running")
    at = "2026-11-20T12:00:02.000000Z"
    stub.append([Event("done", AGENT, RUN, 1, 6, at, done.data), Event("status", AGENT, QUEUED, 1, 7, at, begun.data)])
    expect(watched.locator(".turn").nth(1)).to_contain_text("Next.")
    expect(watched.locator("#queue")).to_be_hidden()


@pytest.mark.parametrize(("button", "path"), [("Continue", "resume"), ("Try again", "retry")])
def test_run_that_ended_badly_can_be_gone_on_with(stub: Stub, watched: Page, button: str, path: str) -> None:
    stub.append(ended("failed", code="time-limit", message="It took longer than 600 s."))
    watched.goto(stub.page_url)
    expect(watched.locator(".run-error")).to_contain_text("limits.wall_s")
    watched.get_by_role("button", name=button, exact=True).click()
    assert stub.request()[:2] == ("POST", f"/api/runs/{RUN}/{path}")


def test_a_run_that_said_nothing_can_only_be_tried_again(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started()))
    watched.goto(stub.page_url)
    error: tuple[str, dict[str, object]] = ("error", {"code": "image-missing", "message": "It is not here."})
    stub.append(log_of(error, ("done", {"status": "failed"}), after=3))
    expect(watched.locator(".again").get_by_role("button")).to_have_text(["Try again"])
    row = watched.locator("#run-list li").first
    expect(row.get_by_role("button", name="Try again")).to_be_visible()
    expect(row.get_by_role("button", name="Continue")).to_be_hidden()


def test_nothing_is_offered_behind_a_run_that_went_well_or_is_not_the_last(stub: Stub, watched: Page) -> None:
    stub.append(ended("completed"))
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.locator(".again")).to_have_count(0)
    stub.events[:] = [*ended("cancelled"), *queued("Next.", after=5)]
    watched.goto(stub.page_url)
    settled(watched, stub)
    expect(watched.locator(".again")).to_have_count(0)


def test_plan_and_budget_stand_with_their_run(stub: Stub, watched: Page) -> None:
    entries = [{"content": "<i>Look</i>", "status": "completed"}, {"content": "Write", "status": "in_progress"}]
    stub.append(log_of(*started(), ("plan", {"entries": entries})))
    watched.goto(stub.page_url)
    plan = watched.locator(".turn .plan")
    expect(plan.locator("summary")).to_have_text("Plan: 1 of 2 done")
    expect(plan.locator("li").first).to_contain_text("done: <i>Look</i>")
    entries[1]["status"] = "completed"
    warning = {"scope": "run", "kind": "tokens", "used": 810.0, "limit": 1000.0}
    stub.append(log_of(("plan", {"entries": entries}), ("budget", warning), after=4))
    expect(plan.locator("summary")).to_have_text("Plan: 2 of 2 done")
    expect(watched.locator(".budget")).to_have_text("81 % of this run's budget is used: 810 of 1,000 tokens.")
    error: dict[str, object] = {"code": "budget-exceeded", "message": "the run has used 1010 of 1000 tokens"}
    stub.append(log_of(("error", error), ("done", {"status": "failed"}), after=6))
    expect(watched.locator(".run-error")).to_contain_text("Raise the budget")
    expect(plan).not_to_have_attribute("open", "")


def test_what_a_run_does_before_its_program_speaks_is_said(stub: Stub, watched: Page) -> None:
    stub.append(log_of(*started(), ("status", {"status": "running", "reason": "pulling demo: 1.0 of 9.0 MB"})))
    watched.goto(stub.page_url)
    expect(watched.locator("#activity")).to_have_text("Pulling demo: 1.0 of 9.0 MB")
    stub.append(log_of(("status", {"status": "running", "reason": "taken over"}), after=4))
    expect(watched.locator("#activity")).to_have_text(re.compile("^Taken over by another worker"))
    stub.append(log_of(("done", {"status": "completed"}), after=5))
    expect(watched.locator("#activity")).to_be_hidden()
