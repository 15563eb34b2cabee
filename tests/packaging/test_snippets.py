"""Every block of code in README.md, CONTRIBUTING.md and docs/ is right: commands parse, definitions load, programs run.

Commands are not executed here, but their options and arguments are checked against the programs themselves. What is
executed elsewhere: `make run` and the commands for agents (tests/journeys/), the programs and blocks of docs/agents.md
(test_agents_page.py, tests/agents/test_examples.py), the proxies (tests/streaming/test_proxies.py), the page of
docs/events.md (tests/browser/test_other_origin.py), docker-compose (test_compose_up.py).
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from agents.definitions.catalog import read
from agents.definitions.ceilings import Ceilings
from agentsite.cli.main import app
from streaming.model.events import decode, draft

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
IN_A_CONTAINER = ("docker-compose", "exec", "web")
"""There the command line is on the path. In a checkout it is `.venv/bin/agentsite`."""
OF_OTHERS = {
    *("cp", "curl", "docker", "docker-compose", "export"),
    *("python3", "/srv/agent-venv/bin/pip"),  # docs/definitions.md: an environment outside of the checkout
}
"""Commands that are not ours: only the files and make targets among their arguments are checked."""
ARGUMENTS_OF = {"bench-": "benchmarks", "faults": "tests/faults", "lock": "scripts"}
QUOTED_FROM_EXAMPLES = "agents.md"
"""Its blocks in sh, Python and JavaScript are pieces of the examples: test_agents_page.py compares them."""


class Block(NamedTuple):
    document: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}-{self.text.strip().splitlines()[0][:40]}"


BLOCKS = [
    Block(path.name, language, text)
    for path in DOCUMENTS
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
]
COMMANDS = [
    (block.document, line)
    for block in BLOCKS
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.strip() and not (block.document == QUOTED_FROM_EXAMPLES and re.search(r"printf|case|finish", line))
]


def of(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def test_every_language_is_known():
    """A block in another language needs a test."""
    tested_elsewhere = {"", "js", "dockerfile", "caddyfile", "nginx", "html"}
    assert {block.language for block in BLOCKS} <= {"sh", "toml", "json", "python"} | tested_elsewhere


# Commands -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_command_is_one(document: str, line: str):
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    is_inside = tuple(words[:3]) == IN_A_CONTAINER
    words = words[3:] if is_inside else words
    program, arguments = words[0], words[1:]
    if program == ("agentsite" if is_inside else ".venv/bin/agentsite"):
        parse_agentsite(arguments)
    elif program == "make":
        check_make(arguments)
    elif program == "python" and is_inside:
        assert (ROOT / arguments[0]).exists()
    else:
        assert program in OF_OTHERS, f"{document}: from a checkout it is .venv/bin/{program}"
        for name in arguments:
            assert not name.startswith(("containers/", "docs/", ".env.")) or (ROOT / name).exists(), name


def parse_agentsite(arguments: list[str]) -> None:
    """Have the command line parse them, without executing anything. Raises a UsageError if it would refuse them."""
    command = get_command(app)
    context = None
    while isinstance(command, TyperGroup):
        assert arguments[0] in command.commands, arguments
        context = command.make_context("agentsite", [arguments[0]], parent=context, resilient_parsing=True)
        command, arguments = command.commands[arguments[0]], arguments[1:]
    command.make_context("agentsite", list(arguments), parent=context)


def check_make(arguments: list[str]) -> None:
    target, *variables = arguments
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    for variable in variables:
        assert variable.startswith("ARGS="), variable
        folder = next(folder for begin, folder in ARGUMENTS_OF.items() if target.startswith(begin))
        source = "\n".join(path.read_text() for path in (ROOT / folder).rglob("*.py"))
        for option in re.findall(r"--[a-z-]+", variable):
            assert f'"{option}"' in source, f"{target} has no {option}"
        for row in re.findall(r"--(?:row|part) ([\w-]+)", variable):
            assert f'"{row}"' in source or f"def {row}(" in source, f"{target} has no {row}"


COMMAND_LINES = sorted(
    {
        (path.name, line)
        for path in DOCUMENTS
        for line in re.findall(r"`(?:\.venv/bin/)?(agentsite [a-z][^`\n]*)`", path.read_text())
        if "|" not in line
    }
)


@pytest.mark.parametrize(("document", "line"), COMMAND_LINES)
def test_command_named_in_a_sentence_exists(document: str, line: str):
    command = get_command(app)
    for word in shlex.split(line)[1:]:
        if not isinstance(command, TyperGroup):
            options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            assert not word.startswith("-") or word.partition("=")[0] in options, f"{line} has no {word}"
        else:
            assert word in command.commands, f"{line} has no {word}"
            command = command.commands[word]


@pytest.mark.parametrize(
    ("document", "command"),
    [
        (path.name, command)
        for path in DOCUMENTS
        for command in re.findall(r"\.venv/bin/((?:pytest|python) [^`\n]*)", path.read_text())
    ],
)
def test_programs_of_the_environment_are_given_files_and_modules_that_exist(document: str, command: str):
    program, *arguments = shlex.split(command, comments=True)
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if program == "python" and before == "-m" and argument.startswith(("tests", "agentsite", "containers")):
            path = ROOT / argument.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), argument
        assert not argument.startswith("tests/") or (ROOT / argument).exists(), argument


# Definitions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_block_of_toml_is_a_definition_or_a_part_of_one(block: Block):
    text, tables = block.text, tomllib.loads(block.text)
    if "definitions" not in tables:
        text = f'[definitions.mine]\nimage = "mine"\n{text}'
    elif all("image" not in table for table in tables["definitions"].values()):
        text = "".join(f'[definitions.{name}]\nimage = "mine"\n' for name in tables["definitions"]) + text
    found = read(text, Ceilings())
    assert found.invalid == {}
    assert found.definitions


# Events and programs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("json"), ids=str)
def test_block_of_json_is_an_event(block: Block):
    event = decode(block.text.strip())
    assert draft(event.type, event.run_id, **event.data).data == event.data


def test_complete_program_of_the_container_protocol_answers():
    (block,) = (block for block in of("python") if block.document == "container-protocol.md")
    start = json.dumps({"type": "start", "protocol": 1, "run_id": "r1", "input": {"content": "Hi"}}) + "\n"
    ran = subprocess.run([sys.executable, "-c", block.text], input=start, capture_output=True, text=True, check=True)
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [{"type": "text", "content": "You said: Hi"}]


def test_other_blocks_of_python_are_pieces_of_the_examples():
    assert {block.document for block in of("python")} <= {QUOTED_FROM_EXAMPLES, "container-protocol.md"}
