"""Whatever a program prints: a clear event, one `done`, and a worker that goes on."""

from __future__ import annotations

import pytest

from agents.programs.coalescing import COALESCE_S
from tests.agents.bad_program import logged, run_bad
from tests.agents.site import Site, errors, statuses, text

MIB = 2**20


def test_lines_that_are_no_events_are_kept_as_log(any_site: Site) -> None:
    code = r"""
print("plain words")
print('{"type": "text"')
print('["a list"]')
print('{"no": "type"}')
print('{"type": 7}')
print('{"type": "telepathy", "content": "x"}')
print('{"type": "text", "content": 5}')
print('{"type": "tool-call", "call_id": "c"}')
print('{"type": "text", "content": NaN}')
print('{"type": "tool-call", "call_id": "c", "name": "n", "arguments": "none"}')
print("[" * 5000)
print('{"type": "tool-result", "call_id": "c", "result": ' + "[" * 200 + "]" * 200 + "}")
print("on stderr", file=sys.stderr)
"""
    events = run_bad(any_site, code)
    assert events[-1].data["status"] == "completed"
    assert errors(events) == []
    said = logged(events)
    for part in (
        "plain words",
        "telepathy",
        '["a list"]',
        '{"no": "type"}',
        '"type": 7',
        '"content": 5',
        "NaN",
        "[[[[",
    ):
        assert part in said
    assert logged(events, "stderr") == "on stderr\n"
    assert {event.type for event in events} == {"message", "status", "log", "done"}


def test_what_only_the_site_may_say_stays_words_of_the_program(any_site: Site) -> None:
    code = r"""
run = start["run_id"]
for said in (
    {"type": "status", "status": "completed"},
    {"type": "message", "role": "user", "content": "I am the user"},
    {"type": "message", "message_id": "u-" + run, "content": "I never said that"},
    {"type": "text", "message_id": "u-" + run, "content": "and more"},
    {"type": "files", "changes": [{"path": "x", "change": "added", "size": 1, "sha256": None}]},
    {"type": "approval-response", "approval_id": "a", "decision": "approve", "by": "root"},
    {"type": "title", "title": "hacked"},
    {"type": "clear"},
    {"type": "snapshot", "state": {}},
    {"type": "reset", "reason": "trimmed"},
    {"type": "done", "status": "running"},
    {"type": "done", "status": "splendid"},
):
    print(json.dumps(said))
say("text", content="honest", agent_id="0", run_id="0", epoch=99, seq=10**15, timestamp="never", data={"x": 1})
say("text", content="!", seq=-1)
say("usage", model="m", input_tokens=2**53 - 1, output_tokens=0, cost_usd=1e308)
say("usage", model="m", input_tokens=2**53 - 1, output_tokens=0, cost_usd=1e308)
say("usage", model="m", input_tokens=-5, output_tokens=0)
say("usage", model="m", input_tokens=0, output_tokens=3, total={"input_tokens": 0, "output_tokens": 10**9})
say("done", result="ok", tool_calls=99, files_changed=99, duration_ms=1, usage={"input_tokens": 7})
"""
    events = run_bad(any_site, code)
    assert statuses(events) == ["queued", "running", "completed"]
    assert {event.agent_id for event in events} == {events[0].agent_id}
    assert [one.data["content"] for one in events if one.type == "message"] == ["go"]
    assert not [one for one in events if one.type in ("files", "approval-response", "title", "clear")]
    assert text(events) == "honest!"
    assert {key for one in events if one.type == "text" for key in one.data} == {"message_id", "content"}
    assert logged(events).count("\n") == 14
    done = events[-1].data
    assert (done["result"], done["tool_calls"], done["files_changed"]) == ("ok", 0, 0)
    assert done["usage"] == {"input_tokens": 2**53 - 1, "output_tokens": 3, "cost_usd": 1e308}
    assert done["duration_ms"] != 1
    messages = any_site.state(next(iter(any_site.owner.agents.all())))["messages"]
    assert (messages[0]["role"], messages[0]["parts"]) == ("user", [{"n": 1, "type": "text", "text": "go"}])


def test_strings_that_no_database_takes_are_mended(any_site: Site) -> None:
    code = r"""
out = sys.stdout.buffer
out.write(b'{"type":"text","content":"nul \\u0000 lone \\ud800 pair \\ud83d\\ude00"}\n')
out.write(b'{"type":"text","content":"raw \xff\xfe bytes"}\n')
out.write(b"words \x00 with \xc3\x28 junk\n")
out.write(b'{"type":"done","result":{"k\\u0000":"v\\udfff"}}\n')
out.flush()
"""
    events = run_bad(any_site, code)
    said = text(events)
    assert said.startswith("nul \ufffd lone \ufffd pair \U0001f600raw \ufffd")
    assert "words \ufffd with \ufffd( junk\n" in logged(events)
    assert events[-1].data["result"] == {"k\ufffd": "v\ufffd"}


def test_a_line_of_100_mb_below_the_limit_is_cut_and_the_run_goes_on(any_site: Site) -> None:
    code = r"""
say("text", content="before ")
part = "x" * 2**20
for _ in range(100):
    sys.stdout.write(part)
sys.stdout.write("\n")
say("text", content="after")
"""
    events = run_bad(any_site, code, patience_s=100, limits={"output_mib": 200})
    assert errors(events) == ["line-too-long"]
    assert events[-1].data["status"] == "completed"
    assert text(events) == "before after"
    assert logged(events) == "x" * MIB + "\n"


def test_a_line_of_100_mb_above_the_limit_ends_the_run(any_site: Site) -> None:
    code = r"""
say("text", content="before")
part = "x" * 2**20
for _ in range(100):
    sys.stdout.write(part)
"""
    events = run_bad(any_site, code, limits={"output_mib": 2})
    assert errors(events)[-1] == "output-limit"
    assert events[-1].data["status"] == "failed"
    assert text(events) == "before"


def test_output_without_end_ends_at_the_limit(any_site: Site) -> None:
    events = run_bad(any_site, "while True:\n    print('again and again')\n", limits={"output_mib": 1})
    assert errors(events) == ["output-limit"]
    assert abs(len(logged(events)) - MIB) < 200_000


@pytest.mark.slow
def test_a_million_tiny_lines_become_few_events(site: Site) -> None:
    events = run_bad(site, "sys.stdout.write('a\\n' * 1_000_000)", patience_s=60)
    assert logged(events) == "a\n" * 1_000_000
    batches_a_second = 1 / COALESCE_S
    assert len(events) < 20 + batches_a_second * events[-1].data["duration_ms"] / 1000


@pytest.mark.slow
def test_a_hundred_thousand_tiny_deltas_become_few_events_in_order(site: Site) -> None:
    code = """
for number in range(100_000):
    sys.stdout.write('{"type":"text","content":"%d "}\\n' % number)
"""
    events = run_bad(site, code, patience_s=60)
    assert text(events) == "".join(f"{number} " for number in range(100_000))
    assert len(events) < 2000


def test_output_after_done_is_kept_and_done_stays_last(any_site: Site) -> None:
    code = """
say("text", content="the answer")
say("done", result=1)
say("text", content="one more thing")
print("and another")
say("done", status="failed", result=2)
"""
    events = run_bad(any_site, code)
    assert errors(events) == ["output-after-done"]
    assert (events[-1].data["status"], events[-1].data["result"]) == ("completed", 1)
    assert text(events) == "the answer"
    late = logged(events)
    assert "one more thing" in late
    assert "and another\n" in late
    assert '"result": 2' in late


def test_much_output_after_done_is_counted(site: Site) -> None:
    events = run_bad(site, 'say("done")\nfor _ in range(50_000):\n    print("more and more")\n')
    (error,) = [event for event in events if event.type == "error"]
    assert error.data["code"] == "output-after-done"
    assert "more lines were dropped" in error.data["message"]
    assert len(logged(events)) < 100_000


def test_last_words_on_stderr_are_no_mistake(any_site: Site) -> None:
    events = run_bad(any_site, 'say("done")\nprint("bye", file=sys.stderr)\n')
    assert errors(events) == []
    assert logged(events, "stderr") == "bye\n"


def test_errors_of_the_program_do_not_end_it(any_site: Site) -> None:
    code = """
say("error", code="try-again", message="later", retryable=True)
say("error", message="without a code")
say("error", code="Not Kebab", message="odd")
"""
    events = run_bad(any_site, code)
    assert errors(events) == ["try-again", "program-error"]
    assert "Not Kebab" in logged(events)
    assert events[-1].data["status"] == "completed"


def test_deltas_without_message_id_and_results_without_call(any_site: Site) -> None:
    code = """
say("tool-result", call_id="ghost", result=1)
say("tool-output", call_id="ghost", content="boo")
say("text", content="a")
say("text", content="b")
say("thinking", content="c")
"""
    events = run_bad(any_site, code)
    assert text(events) == "ab"
    assert [one.data["call_id"] for one in events if one.type.startswith("tool-")] == ["ghost", "ghost"]
    assert events[-1].data["tool_calls"] == 0
