"""The commands that speak to a site: what they print, and how they end. Against a real site without containers."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from agentsite.cli.client import Client
from agentsite.cli.follow import _Printer, _RunFollower
from agentsite.cli.hints import Hints
from agentsite.cli.invocation import command_line
from tests.cli.terminal import END_S, Pty, Terminal
from tests.faults.stack import REPOSITORY
from tests.journeys.site import UpSite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
SAY = "import json, sys; say = lambda **line: print(json.dumps(line), flush=True); sys.stdin.readline(); "
PROGRAMS = {
    "greets": SAY + "say(type='text', content='Hello.'); say(type='done', status='completed')",
    "fails": SAY + "say(type='text', content='Half of it'); sys.exit('no more paper')",
    "waits": SAY + "say(type='text', content='Waiting.'); sys.stdin.readline(); sys.stdin.readline()",
    "asks": SAY
    + "say(type='approval-request', approval_id='tea/1', question='Tea?', options=['Yes, please', '--url=http://x']); "
    + "answer = json.loads(sys.stdin.readline()); say(type='text', content=f'{answer}')",
    "writes": SAY
    + "say(type='tool-call', call_id='c1', name='bash', arguments={'command': 'rm -r \u202eolb'}); "
    + "say(type='approval-request', approval_id='a1', call_id='c1', question='Run?', options=['approve', 'deny']); "
    + "say(type='text', content='Meanwhile. '); "
    + "answer = json.loads(sys.stdin.readline()); "
    + "say(type='text', content=f\"{answer['decision']} {answer.get('reason')}\")",
    "paints": SAY + r"say(type='text', content='\x1b[31mred\x1b]0;mine\x07\u202e.')",
}


CALLED = shlex.split(command_line([]))
CROOKED = "\n[definitions.crooked]\nimage = 5\n"


def definition(name: str, program: str) -> str:
    command = json.dumps(["{python}", "-u", "-c", program])
    return f'\n[definitions.{name}]\nimage = "none"\nprocess_command = {command}\ntrusted = true\n'


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpSite]:
    definitions = "".join(definition(name, program) for name, program in PROGRAMS.items()) + CROOKED
    up = UpSite(tmp_path_factory.mktemp("up"), engine="process", definitions=definitions)
    try:
        yield up.start()
    finally:
        up.close()


@pytest.fixture
def at_site(site: UpSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(capsys, monkeypatch, "--url", site.url, "--token", site.token)


def events_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


# a definition with a mistake ------------------------------------------------------------------------------------------


def test_a_site_starts_in_spite_of_a_mistake_and_says_which(site: UpSite, at_site: Terminal):
    mistake = "crooked.image: must be text"
    (said,) = [line for line in site.printed().splitlines() if mistake in line and "can't be started" in line]
    assert "definition crooked" in said
    assert mistake in at_site("run", "crooked", "Go").problem


# move -----------------------------------------------------------------------------------------------------------------


def test_a_run_is_moved_in_the_queue(site: UpSite, at_site: Terminal):
    with at_site.beside("run", "waits", "Wait", "--json") as running:
        assert running.stdout is not None
        event = next(event for line in running.stdout if (event := json.loads(line))["type"] == "text")
        agent, first = event["agent_id"], event["run_id"]
        with Client(site.url, site.token) as client:
            two, three = (client.start_run(agent, prompt) for prompt in ("two", "three"))
            shown = at_site("move", three, "--before", two)
            assert (shown.code, shown.out) == (0, f"run {three}: moved before {two}\n")
            shown = at_site("move", three)
            assert (shown.code, shown.out) == (0, f"run {three}: moved to the end\n")
            assert "has begun" in at_site("move", first).problem
            for run in (three, two, first):
                client.call("POST", f"/api/runs/{run}/cancel")
        running.communicate(timeout=END_S)


# run ------------------------------------------------------------------------------------------------------------------


def test_a_run_that_completes_ends_with_0(at_site: Terminal):
    shown = at_site("run", "greets", "Good morning")
    assert shown.code == 0
    asked, doing, said, ended = shown.out.splitlines()
    assert (asked, doing, said) == ("> Good morning", "~ isolation: none", "Hello.")
    assert ended.startswith("completed in ")


def test_a_run_that_fails_ends_with_1_and_says_why(at_site: Terminal):
    shown = at_site("run", "fails", "Print it")
    assert shown.code == 1
    assert "Half of it\n" in shown.out
    assert "! container-exit: " in shown.out
    assert "no more paper" in shown.out
    assert shown.out.splitlines()[-1].startswith("failed in ")


def test_a_run_that_is_cancelled_ends_with_3(at_site: Terminal):
    with at_site.beside("run", "waits", "Wait", "--json") as running:
        assert running.stdout is not None
        event = next(event for line in running.stdout if (event := json.loads(line))["type"] == "text")
        cancelled = at_site("cancel", event["run_id"])
        assert (cancelled.code, cancelled.err) == (0, "")
        assert cancelled.out.startswith(f"run {event['run_id']}: ")
        rest, _ = running.communicate(timeout=END_S)
    assert running.returncode == 3
    assert events_of(rest)[-1]["data"]["status"] == "cancelled"


def test_a_run_says_whose_it_is_and_where_its_page_is(site: UpSite, at_site: Terminal):
    said = at_site("run", "greets", "Good morning").err
    found = re.fullmatch(r"agent (\S+), run (\S+): (\S+)\n", said)
    assert found is not None, said
    agent_id, run_id, page = found.groups()
    assert page == f"{site.url}/agents/{agent_id}/"
    (listed,) = events_of(at_site("runs", agent_id, "--json").out)
    assert listed["id"] == run_id
    assert at_site("run", "greets", "Good morning", "--json").err == ""


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["as text", "as JSON"])
def test_ctrl_c_says_that_the_run_goes_on_and_how_to_follow_and_cancel_it(
    site: UpSite, at_site: Terminal, options: list[str]
):
    with at_site.beside("run", "waits", "Wait", *options) as running:
        assert running.stdout is not None
        next(line for line in running.stdout if "isolation" in line)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=END_S)
    assert running.returncode == 130
    found = re.fullmatch(r"the run goes on; (\S+ attach .*) or (\S+ cancel .*)", err.splitlines()[-1])
    assert found is not None, err
    attach, cancel = (shlex.split(line)[1:] for line in found.groups())
    assert attach[:-1] == ["attach", "--url", site.url]
    (open_run,) = events_of(at_site("runs", attach[-1], "--json").out)
    assert (open_run["id"], open_run["finished_at"]) == (cancel[-1], None)
    assert at_site(*cancel).code == 0


def test_as_json_every_line_is_an_event_of_the_run(at_site: Terminal):
    shown = at_site("run", "greets", "Good morning", "--json")
    events = events_of(shown.out)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len({event["run_id"] for event in events}) == 1
    assert (events[0]["type"], events[-1]["type"]) == ("message", "done")


def test_a_second_run_of_an_agent_shows_itself_only(at_site: Terminal):
    first = events_of(at_site("run", "greets", "One", "--json").out)
    second = events_of(at_site("run", "greets", "Two", "--json", "--agent", first[0]["agent_id"]).out)
    assert second[0]["seq"] == first[-1]["seq"] + 1
    assert second[0]["data"]["content"] == "Two"
    assert {event["agent_id"] for event in second} == {first[0]["agent_id"]}


def test_a_run_that_is_refused_leaves_no_agent_behind(site: UpSite, at_site: Terminal):
    with Client(site.url, site.token) as client:
        before = client.call("GET", "/api/agents")["total"]
        assert "input" in at_site("run", "greets", "").problem
        assert "U+0000" in at_site("run", "greets", "Hel\0lo").problem
        assert client.call("GET", "/api/agents")["total"] == before


def test_an_agent_of_another_definition_is_not_run(site: UpSite, at_site: Terminal):
    agent_id = events_of(at_site("run", "greets", "One", "--json").out)[0]["agent_id"]
    for definition in ("fails", "nothing"):
        problem = at_site("run", definition, "Two", "--agent", agent_id).problem
        assert f"agent {agent_id} is of the definition greets, not {definition}" in problem
    with Client(site.url, site.token) as client:
        assert client.call("GET", f"/api/agents/{agent_id}/runs")["total"] == 1


def test_nothing_an_agent_says_drives_the_terminal(at_site: Terminal):
    assert "red." in at_site("run", "paints", "Paint").out
    for options in ([], ["--json"]):
        out = at_site("run", "paints", "Paint", *options).out
        assert "\x1b" not in out
        assert "\x07" not in out


# approve --------------------------------------------------------------------------------------------------------------


def test_a_question_is_answered_by_the_command_line_that_is_shown_with_it(site: UpSite, at_site: Terminal):
    with at_site.beside("run", "asks", "Serve") as running:
        assert running.stdout is not None
        next(line for line in running.stdout if line.startswith("? Tea?"))
        yes, option, page = (next(running.stdout).strip() for _ in range(3))
        assert f"{site.url}/agents/" in page
        assert shlex.split(option)[-4] == "--"
        assert shlex.split(yes)[: len(CALLED)] == CALLED
        words = shlex.split(yes)[len(CALLED) :]
        assert (words[0], words[-1]) == ("approve", "Yes, please")
        run_id = words[-3]
        assert "must be one of" in at_site("approve", run_id, "tea/1", "No").problem
        assert "asks for no approval" in at_site("approve", run_id, "coffee", "Yes, please").problem
        answered = at_site(*words, "--reason", "with milk")
        assert (answered.code, answered.out, answered.err) == (0, f"run {run_id}: answered Yes, please\n", "")
        rest, _ = running.communicate(timeout=END_S)
        assert "= Yes, please  (admin)\n" in rest
        assert "with milk" in rest
    assert running.returncode == 0
    assert "the run has ended" in at_site(*words).problem


def whole(before: str) -> bool:
    """Was everything that is asked about shown, and what hides made visible?"""
    return '"command": "rm -r \\u202eolb"' in before


@pytest.mark.parametrize(
    ("key", "answer"),
    [("y", "approve"), ("a", "approve"), ("1", "approve"), ("n", "deny"), ("d", "deny"), ("2", "deny")],
)
def test_a_question_is_answered_with_a_key_where_it_is_asked(site: UpSite, key: str, answer: str):
    with Pty("run", "writes", "Clean up", "--url", site.url, "--token", site.token) as terminal:
        assert whole(terminal.see("[y] approve  [n] deny  [r] a reason first > "))
        terminal.press(key)
        terminal.see(f"= {answer}  (admin)\n")
        terminal.see(f"{answer} None")
        terminal.see("completed in ")
        assert terminal.end() == 0


def test_a_reason_goes_with_the_answer(site: UpSite):
    with Pty("run", "writes", "Clean up", "--url", site.url, "--token", site.token) as terminal:
        terminal.see("[r] a reason first > ")
        terminal.press("r")
        terminal.see("Reason: ")
        assert terminal.echoes()
        terminal.press("not todd\x7fay \u00e4\n")
        terminal.see("[r] another reason > ")
        terminal.press("n")
        terminal.see("deny not today \u00e4")
        assert terminal.end() == 0


def test_what_was_typed_before_a_question_is_no_answer(site: UpSite):
    with Pty("run", "writes", "Clean up", "--url", site.url, "--token", site.token) as terminal:
        terminal.press("yyy")
        terminal.see("[y] approve")
        terminal.press("n")
        terminal.see("= deny  (admin)\n")
        assert terminal.end() == 0


def test_a_question_that_is_answered_elsewhere_is_taken_back(site: UpSite):
    with Pty("attach", new_agent(site, "writes"), "--url", site.url, "--token", site.token) as terminal:
        terminal.see("[y] approve")
        assert not terminal.echoes()
        with Client(site.url, site.token) as client:
            (agent,) = client.listed("/api/agents", "agents", 1)[0]
            (run,) = client.listed(f"/api/agents/{agent['id']}/runs", "runs", 1)[0]
            client.answer(run["id"], "a1", "deny", "")
        terminal.see("= deny  (admin)\n")
        terminal.see("completed in ")
        assert terminal.echoes()
        terminal.press("\x03")
        assert terminal.end() == 130


def test_what_was_answered_long_ago_is_not_asked_again(site: UpSite):
    agent_id = new_agent(site, "writes")
    with Client(site.url, site.token) as client:
        with Pty("attach", agent_id, "--url", site.url, "--token", site.token) as terminal:
            terminal.see("[y] approve")
            terminal.press("y")
            terminal.see("completed in ")
        run_id = client.start_run(agent_id, "Again")
        with Pty("attach", agent_id, "--url", site.url, "--token", site.token) as terminal:
            assert "[y]" not in terminal.see("= approve  (admin)\n")
            terminal.see("[y] approve")
            client.call("POST", f"/api/runs/{run_id}/cancel")
            terminal.see("cancelled in ")
            assert terminal.echoes()


def new_agent(site: UpSite, definition: str) -> str:
    with Client(site.url, site.token) as client:
        return client.start_agent(definition, "Go")[0]


def test_a_printed_command_works_as_pasted(site: UpSite, tmp_path: Path):
    """Into a shell in the same directory that has none of our settings, and no agentsite in its PATH."""
    scripts = tmp_path / ".venv" / "bin"
    scripts.mkdir(parents=True)
    script = scripts / "agentsite"
    script.write_text(f"#!{sys.executable}\nfrom agentsite.cli import main\nmain()\n")
    script.chmod(0o755)
    settings = {"AGENTSITE_PORT": site.url.rpartition(":")[2], "AGENTSITE_DATA_DIR": str(site.data)}
    shell = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    printing = subprocess.Popen(
        [".venv/bin/agentsite", "run", "writes", "Clean up"],
        cwd=tmp_path, env={**shell, **settings}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with printing:
        assert printing.stdout is not None
        line = next(line for line in printing.stdout if line.endswith(" a1 deny\n"))
        pasted = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env=shell, capture_output=True, text=True, timeout=END_S, check=False
        )
        assert (pasted.returncode, pasted.stderr) == (0, "")
        assert ".venv/bin/agentsite approve" in line
        assert "deny" in printing.communicate(timeout=END_S)[0]
    assert printing.returncode == 0


def test_a_run_that_waits_is_told_to_stop(site: UpSite, at_site: Terminal):
    with at_site.beside("run", "writes", "Clean up") as running:
        assert running.stdout is not None
        line = next(line for line in running.stdout if line.endswith(" a1 deny\n"))
        run_id = shlex.split(line)[-3]
        said = at_site("cancel", run_id).out
        assert said in (f"run {run_id}: cancel requested\n", f"run {run_id}: cancelled\n")  # it may be that quick
        running.communicate(timeout=END_S)
    assert running.returncode == 3
    assert at_site("cancel", run_id).out == f"run {run_id}: cancelled\n"


def test_what_an_agent_asks_runs_nothing_where_it_is_pasted(site: UpSite):
    with Client(site.url, site.token) as client:
        lines = Hints(client, "a1").answers(
            "r1", {"approval_id": "x\x1b]", "options": ["\x07'; rm -rf ~; '", "$(id)", "--token=mine"]}
        )
    said = [shlex.split(line) for line in lines.splitlines()[:3]]
    assert said == [
        [*CALLED, "approve", "--url", site.url, "r1", "x]", "'; rm -rf ~; '"],
        [*CALLED, "approve", "--url", site.url, "r1", "x]", "$(id)"],
        [*CALLED, "approve", "--url", site.url, "--", "r1", "x]", "--token=mine"],
    ]


# export, import -------------------------------------------------------------------------------------------------------


def test_an_agent_goes_into_a_file_and_comes_out_as_another(at_site: Terminal, tmp_path):
    told = events_of(at_site("run", "greets", "Good morning", "--json").out)
    path = tmp_path / "agent.jsonl"
    shown = at_site("export", told[0]["agent_id"], "--output", str(path))
    assert (shown.code, shown.out, shown.err) == (0, "", "")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line for line in lines if "seq" in line] == told
    assert list(tmp_path.iterdir()) == [path]
    path.write_text("mine\n")
    refused = at_site("export", told[0]["agent_id"], "-o", str(path)).problem
    assert refused == f"agentsite: {path} exists; name another file, or replace it with --force\n"
    assert path.read_text() == "mine\n"
    assert at_site("export", told[0]["agent_id"], "-o", str(path), "--force").code == 0
    assert len(path.read_text().splitlines()) == len(lines)
    imported = at_site("import", str(path))
    assert (imported.code, imported.err) == (0, "")
    again = [json.loads(line) for line in at_site("export", imported.out.strip(), "--no-files").out.splitlines()]
    assert [line["data"] for line in again if line.get("type") == "text"] == [
        event["data"] for event in told if event["type"] == "text"
    ]


@pytest.mark.parametrize("command", ["export", "import"])
def test_what_can_not_be_taken_along_is_one_line(at_site: Terminal, tmp_path, command: str):
    (tmp_path / "cut").write_text('{"type":"agent","format":1,"agent_id":"x","definition":"greets"}\n')
    arguments = ["no-such-agent", "-o", str(tmp_path / "new")] if command == "export" else [str(tmp_path / "cut")]
    shown = at_site(command, *arguments)
    assert (shown.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert ("no such agent" if command == "export" else "line 2: ") in shown.err
    assert not (tmp_path / "new").exists()


# clear, fork ----------------------------------------------------------------------------------------------------------


def test_a_fork_goes_on_with_the_conversation_that_its_original_has_cleared(site: UpSite, at_site: Terminal):
    told = events_of(at_site("run", "greets", "Good morning", "--json").out)
    agent_id, run_id = told[0]["agent_id"], told[0]["run_id"]
    cleared = at_site("clear", agent_id)
    assert (cleared.code, cleared.out) == (0, f"agent {agent_id}: the conversation begins anew\n")
    forked = at_site("fork", agent_id, "--at", run_id, "--title", "Another way")
    assert (forked.code, forked.err) == (0, "")
    fork_id = forked.out.strip()
    with Client(site.url, site.token) as client:
        snapshots = [client.call("GET", f"/api/agents/{one}/snapshot")["state"] for one in (agent_id, fork_id)]
    assert [len(state["messages"]) for state in snapshots] == [0, 2]
    assert snapshots[1]["title"] == "Another way"
    assert at_site("run", "greets", "And again", "--agent", fork_id).code == 0


def test_what_can_not_be_cleared_or_forked_is_one_line(at_site: Terminal):
    for command in ("clear", "fork"):
        assert at_site(command, "no-such-agent").problem == "agentsite: no such agent\n"


# attach, agents, runs -------------------------------------------------------------------------------------------------


def test_attach_shows_what_was_said_and_goes_on_until_ctrl_c(at_site: Terminal):
    agent_id = events_of(at_site("run", "greets", "One", "--json").out)[0]["agent_id"]
    with at_site.beside("attach", agent_id, "--json") as attached:
        assert attached.stdout is not None
        said = [json.loads(next(attached.stdout)) for _ in range(3)]
        at_site("run", "greets", "Two", "--agent", agent_id)
        later = next(event for line in attached.stdout if (event := json.loads(line))["data"].get("content") == "Two")
        attached.send_signal(signal.SIGINT)
        _, err = attached.communicate(timeout=END_S)
    assert [event["seq"] for event in said] == [1, 2, 3]
    assert later["type"] == "message"
    assert (attached.returncode, err) == (130, "")


def test_agents_and_runs_are_listed(at_site: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    run = events_of(at_site("run", "fails", "Print\nall of it", "--json").out)[0]
    agents, runs = at_site("agents"), at_site("runs", run["agent_id"])
    assert (agents.code, runs.code) == (0, 0)
    (line,) = [line for line in agents.out.splitlines() if run["agent_id"] in line]
    assert line.split()[1:] == ["fails", "failed", "Print"]
    header, line = runs.out.splitlines()
    assert header.split() == ["id", "#", "status", "time", "input"]
    assert line.split()[:3] == [run["run_id"], "1", "failed"]
    assert line.rstrip().endswith("Print all of it")


def test_lists_are_the_apis_objects_as_json_up_to_a_limit(at_site: Terminal, monkeypatch: pytest.MonkeyPatch):
    agent_id = events_of(at_site("run", "greets", "One", "--json").out)[0]["agent_id"]
    for prompt in ("Two", "Three"):
        at_site("run", "greets", prompt, "--agent", agent_id)
    whole = at_site("runs", agent_id, "--json")
    assert (whole.code, whole.err) == (0, "")
    assert [run["input"] for run in events_of(whole.out)] == ["Three", "Two", "One"]
    monkeypatch.setattr("agentsite.cli.client.PAGE_MAX_ITEMS", 1)
    some = at_site("runs", agent_id, "--json", "--limit", "2")
    assert (some.out, some.err) == ("".join(whole.out.splitlines(True)[:2]), "2 of 3; --limit 3 lists all\n")
    assert at_site("runs", agent_id, "--json", "--limit", "4") == whole
    newest = at_site("agents", "--limit", "1")
    assert newest.out.splitlines()[1].startswith(f"{agent_id}  greets")
    assert newest.err.startswith("1 of ")


# Problems -------------------------------------------------------------------------------------------------------------


def test_what_the_site_refuses_is_one_line(at_site: Terminal):
    nobody = "01900000-0000-7000-8000-000000000000"
    assert "no such agent" in at_site("attach", nobody).problem
    assert "no such agent" in at_site("run", "greets", "Hello", "--agent", nobody).problem
    assert "no such agent" in at_site("runs", "not-an-id").problem
    assert "no such run" in at_site("cancel", nobody).problem
    assert "nothing" in at_site("run", "nothing", "Hello").problem
    assert "input" in at_site("run", "greets", "").problem


def test_a_wrong_token_is_one_line_that_says_where_it_came_from(
    site: UpSite, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
):
    words = ("agents", "--url", site.url)
    given = terminal(*words, "--token", "as_wrong").problem
    assert "it may have expired or been deleted" in given
    assert given.endswith("(sent: that of --token)\n")
    monkeypatch.setenv("AGENTSITE_TOKEN", "as_wrong")
    assert terminal(*words).problem.endswith("(sent: that of AGENTSITE_TOKEN)\n")


def test_the_token_is_found_in_the_data_directory(site: UpSite, terminal: Terminal, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AGENTSITE_DATA_DIR", str(site.data))
    assert terminal("agents", "--url", site.url).code == 0
    monkeypatch.setenv("AGENTSITE_TOKEN", "as_wrong")
    assert terminal("agents", "--url", site.url).code == 2


# After a reset --------------------------------------------------------------------------------------------------------


def snapshot_behind(client: Client, agent_id: str, type_: str) -> dict[str, Any]:
    """The frame that comes after a reset, once an event of that type is in it."""
    seq = next(frame["seq"] for frame in client.stream(agent_id, "0-0") if frame["type"] == type_)
    deadline = monotonic() + END_S
    while (frame := client.call("GET", f"/api/agents/{agent_id}/snapshot"))["seq"] < seq:
        assert monotonic() < deadline, "the event is not committed"
    return {**frame, "type": "snapshot"}


def following(client: Client, agent_id: str, run_id: str) -> _RunFollower:
    return _RunFollower(client, agent_id, run_id, _Printer(False), None, Hints(client, agent_id), 0)


def test_a_question_whose_events_were_lost_is_put_with_its_whole_call(
    site: UpSite, capsys: pytest.CaptureFixture[str]
) -> None:
    with Client(site.url, site.token) as client:
        agent_id, run_id = client.start_agent("writes", "Go")
        frame = snapshot_behind(client, agent_id, "approval-request")
        assert following(client, agent_id, run_id).take(frame) is None
        client.call("POST", f"/api/runs/{run_id}/cancel")
    shown = capsys.readouterr().out
    assert "? Run?  [approve / deny]" in shown
    assert "rm -r" in shown
    assert f"{run_id}a1deny" in "".join(shown.split()), "a command for each answer"


def test_a_run_that_the_state_lists_no_more_has_ended_as_its_row_says(site: UpSite) -> None:
    with Client(site.url, site.token) as client:
        agent_id, run_id = client.start_agent("fails", "Go")
        frame = snapshot_behind(client, agent_id, "done")
        frame["state"]["runs"] = []  # as when hundreds have ended since
        assert following(client, agent_id, run_id).take(frame) == "failed"
