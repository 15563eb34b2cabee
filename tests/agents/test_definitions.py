"""agents.toml: read again when it changes; a mistake names its line and field, and the last good one stays."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from agents.definitions import CatalogFile
from agents.definitions.definition import MODEL_PREFIXES, ProviderName
from agents.gateway.providers.provider import ANOTHER_API
from agentsite.environment import Environment
from containers.images.agent import models as bundled_models
from containers.programs import IMAGES_DIR, filled_in
from containers.spec import MIB

GOOD = """
[definitions.one]
image = "a"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "agents.toml"
    path.write_text(GOOD)
    return path


def problem(file: Path, text: str | bytes) -> str:
    """What the catalog says of a file whose last good version was GOOD."""
    catalog = CatalogFile(file)
    assert set(catalog.current().definitions) == {"one"}
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = catalog.current()
    if found.invalid:
        assert not found.definitions, "the others are as the file has them"
        assert found.problem == f"agents.toml: {next(iter(found.invalid.values()))}"
    else:
        assert set(found.definitions) == {"one"}, "the last good ones stay in force"
    assert found.problem is not None
    assert "\n" not in found.problem
    assert "None" not in found.problem
    return found.problem


def test_a_change_is_seen_at_once_and_a_mistake_mended_too(file: Path) -> None:
    catalog = CatalogFile(file)
    assert catalog.current().definitions["one"].image == "a"
    file.write_text(GOOD.replace('"a"', '"b"') + '[definitions.two]\nimage = "c"\n')
    assert {name: one.image for name, one in catalog.current().definitions.items()} == {"one": "b", "two": "c"}
    file.write_text("[definitions.one")
    assert catalog.current().problem
    assert set(catalog.current().definitions) == {"one", "two"}
    file.write_text(GOOD)
    assert catalog.current().problem is None
    assert set(catalog.current().definitions) == {"one"}


BAD = "[definitions.two]\nimage = 5\n"


def test_a_mistake_concerns_only_its_own_definition(file: Path) -> None:
    file.write_text(BAD + GOOD)
    found = CatalogFile(file).current()
    assert set(found.definitions) == {"one"}
    assert dict(found.invalid) == {"two": "line 2: two.image: must be text"}
    assert found.mistake_of("two") == found.invalid["two"]
    assert found.mistake_of("one") is None
    assert found.mistake_of("three") is None


def test_the_last_good_version_of_a_definition_stays_in_force(file: Path) -> None:
    catalog = CatalogFile(file)
    file.write_text(GOOD + BAD.replace("5", '"b"'))
    assert catalog.current().definitions["two"].image == "b"
    file.write_text(GOOD.replace('"a"', '"c"') + BAD)
    found = catalog.current()
    assert {name: one.image for name, one in found.definitions.items()} == {"one": "c", "two": "b"}
    assert set(found.invalid) == {"two"}
    assert found.mistake_of("two") is None
    file.write_text(GOOD + BAD + "[definitions")
    assert set(catalog.current().definitions) == {"one", "two"}
    file.write_text(GOOD)
    assert (set(catalog.current().definitions), dict(catalog.current().invalid)) == ({"one"}, {})


def test_a_file_of_the_same_time_and_size_is_seen_too(file: Path) -> None:
    """An editor writes a new file and moves it there; a tool may set its time back."""
    catalog, stat = CatalogFile(file), file.stat()
    assert catalog.current().definitions["one"].image == "a"
    other = file.with_suffix(".new")
    other.write_text(GOOD.replace('"a"', '"b"'))
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.rename(file)
    assert catalog.current().definitions["one"].image == "b"


def test_a_missing_file_is_a_problem_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / "agents.toml"
    catalog = CatalogFile(path)
    assert catalog.current().problem == "agents.toml: No such file or directory"
    assert catalog.current().definitions == {}
    path.write_text(GOOD)
    assert set(catalog.current().definitions) == {"one"}
    assert catalog.current().problem is None
    path.unlink()
    assert set(catalog.current().definitions) == {"one"}
    assert catalog.current().problem is not None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[definitions.x]\nimage = 5\n", "line 2: x.image: must be text"),
        ("[definitions.x]\ntitle = 'no image'\n", "line 1: x.image: is required"),
        ("[definitions.x]\nimage = ''\n", "line 2: x.image: must not be empty"),
        ("[definitions.x]\nimage = 'a'\n\nimagine = 'b'\n", "line 4: x.imagine: is not a known field"),
        ("[definitions.x]\nimage = 'a'\nprotocol = 'smoke'\n", "line 3: x.protocol: must be 'jsonl' or 'acp'"),
        ("[definitions.x]\nimage = 'a'\ntrusted = 'sure'\n", "line 3: x.trusted:"),
        ("[definitions.x]\nimage = 'a'\ncommand = 'run me'\n", "line 3: x.command: must be a list"),
        ("[definitions.x]\nimage = 'a'\ncommand = ['run', 5]\n", "line 3: x.command.1:"),
        ("[definitions.x]\nimage = 'a'\ncommand = [\n  'run',\n  5,\n]\n", "line 3: x.command.1:"),
        ("[definitions.x]\nimage = 'a'\ncommand = [\"nul \\u0000\"]\n", "line 3: x.command"),
        ('[definitions.x]\nimage = "nul \\u0000"\n', "line 2: x.image"),
        ("[definitions.x]\nimage = 'a'\nuser = 'root'\n", "line 3: x.user:"),
        ("[definitions.x]\nimage = 'a'\nlimits = 'few'\n", "line 3: x.limits: must be a table"),
        ("[definitions.x]\nimage = 'a'\napprovals = 5\n", "x.approvals: must be 'all' or 'none', or must be a list"),
        ("[definitions.x]\nimage = 'a'\napprovals = [5]\n", "line 3: x.approvals"),
        (
            "[definitions.x]\nimage = 'agentsite/agent'\nmodel = 'gpt'\n",
            "x: model: 'gpt' names no provider; the bundled "
            "agent takes openai:NAME, openai-chat:NAME, anthropic:NAME, gemini:NAME, ollama:NAME",
        ),
        ("[definitions.x]\nimage = 'agentsite/agent:1'\nmodel = 'openai:'\n", "x: model: 'openai:' names no provider"),
        ("[definitions.x]\nimage = 'agentsite/agent@sha256:1'\nmodel = 'me:x'\n", "x: model: 'me:x' names no provider"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.limits]\ncpus = 0\n", "line 4: x.limits.cpus:"),
        ("[definitions.x]\nimage = 'a'\nlimits.cpus = 0\n", "line 3: x.limits.cpus:"),
        ("[definitions.x]\nimage = 'a'\nlimits = { cpus = 0 }\n", "line 3: x.limits.cpus:"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.limits]\nwall_s = -1\n", "line 4: x.limits.wall_s:"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.limits]\nwall_s = inf\n", "line 4: x.limits.wall_s:"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.limits]\ncpus = nan\n", "line 4: x.limits.cpus:"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.limits]\nmemory = 5\n", "line 4: x.limits.memory:"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.env]\nBAD-NAME = 'v'\n", "x.env: 'BAD-NAME'"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.env]\nNUMBER = 5\n", "line 4: x.env.NUMBER:"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.env]\nAGENT_ID = 'me'\n", "x.env: AGENT_ID"),
        ("[definitions.x]\nimage = 'a'\n[definitions.x.env]\nV = \"nul \\u0000\"\n", "line 4: x.env.V:"),
        ("[definitions.'Big Name']\nimage = 'a'\n", "line 1: Big Name: a name is made of"),
        ("[definitions.x]\nimage = 'a'\nimage = 'b'\n", "(at line 3, column"),
        ("[definitions.x\nimage = 'a'\n", "(at line 1, column"),
        ("image = 'a'\n[definitions.x]\nimage = 'a'\n", "line 1: image: unknown table"),
        ("\n[definition.x]\nimage = 'a'\n", "line 2: definition: unknown table"),
        ("definitions = 5\n", "line 1: definitions: must be tables"),
        ("[definitions]\nx = 5\n", "line 2: x: must be a table"),
        ("[[definitions.x]]\nimage = 'a'\n", "line 1: x: must be a table"),
        ("[definitions.x]\nname = 'y'\nimage = 'a'\n", "line 2: x.name:"),
        ("[definitions.x]\nimage = '''\nunfinished", "line 3"),
        (b"[definitions.x]\nimage = '\xff'\n", "is not UTF-8"),
    ],
)
def test_a_mistake_names_line_and_field(file: Path, text: str | bytes, says: str) -> None:
    assert says in problem(file, text)


def test_a_file_may_begin_with_a_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode() + b"[definitions.two]\nimage = 5\n")
    catalog = CatalogFile(file).current()
    assert set(catalog.definitions) == {"one"}
    assert catalog.invalid["two"] == f"line {GOOD.count(chr(10)) + 2}: two.image: must be text"


def test_a_model_of_another_program_may_have_any_name(file: Path) -> None:
    file.write_text("[definitions.x]\nimage = 'mine'\nmodel = 'small'\n")
    assert CatalogFile(file).current().definitions["x"].model == "small"


def test_the_bundled_agent_and_the_definitions_know_the_same_forms_of_models() -> None:
    assert MODEL_PREFIXES == bundled_models.PROVIDERS
    assert set(MODEL_PREFIXES) == {*get_args(ProviderName), *ANOTHER_API}


def test_a_file_that_can_not_be_read(file: Path) -> None:
    catalog = CatalogFile(file)
    catalog.current()
    file.unlink()
    file.mkdir()
    assert set(catalog.current().definitions) == {"one"}
    assert "Is a directory" in str(catalog.current().problem)


@pytest.fixture
def held(settings: Any) -> None:
    """A site that allows little."""
    limits = {"cpus": 0.5, "memory_mib": 256, "pids": 64, "output_mib": 8, "tmp_mib": 32, "shm_mib": 8}
    settings.DEFINITION_CEILINGS = {"limits": {**limits, "workspace_mib": 100}, "runtimes": ["runsc"], "root": False}


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("field", "most"),
    [("cpus", 0.5), ("memory_mib", 256), ("pids", 64), ("output_mib", 8), ("tmp_mib", 32), ("shm_mib", 8),
     ("workspace_mib", 100)],
)  # fmt: skip
def test_a_definition_can_not_widen_what_the_site_allows(file: Path, field: str, most: float) -> None:
    text = f"[definitions.x]\nimage = 'a'\n[definitions.x.limits]\n{field} = "
    said = problem(file, f"{text}{most + 1}\n")
    assert f"line 4: x.limits.{field}: this site allows {most:g} at most (AGENTSITE_MAX_{field.upper()})" in said
    file.write_text(f"{text}{most}\n")
    limits = CatalogFile(file).current().definitions["x"].limits
    assert getattr(limits, field) == most


@pytest.mark.usefixtures("held")
def test_a_definition_that_says_nothing_gets_no_more_than_the_site_allows(file: Path) -> None:
    limits = CatalogFile(file).current().definitions["one"].limits
    given = (limits.cpus, limits.memory_mib, limits.pids, limits.output_mib, limits.tmp_mib, limits.shm_mib)
    assert (*given, limits.workspace_mib) == (0.5, 256, 64, 8, 32, 8, 100)
    assert limits.limits().memory_bytes == 256 * MIB


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("runtime = 'kata'", "line 3: x.runtime: this site does not allow 'kata' (AGENTSITE_ALLOWED_RUNTIMES: runsc)"),
        ("user = '0:0'", "line 3: x.user: this site does not allow root (AGENTSITE_ALLOW_ROOT)"),
        ("user = '00:5'", "line 3: x.user: this site does not allow root"),
        ("user = '5:0'", "line 3: x.user: this site does not allow root"),
    ],
)
def test_runtimes_and_root_are_the_sites_to_allow(file: Path, line: str, says: str) -> None:
    assert says in problem(file, f"[definitions.x]\nimage = 'a'\n{line}\n")


def test_what_a_site_allows_is_allowed(file: Path, settings: Any) -> None:
    settings.DEFINITION_CEILINGS = {"limits": {}, "runtimes": ["runsc"], "root": True}
    file.write_text("[definitions.x]\nimage = 'a'\nruntime = 'runsc'\nuser = '0:0'\n[definitions.x.limits]\ncpus = 9\n")
    found = CatalogFile(file).current().definitions["x"]
    assert (found.runtime, found.user, found.limits.cpus) == ("runsc", "0:0", 9)


@pytest.mark.parametrize("line", ["runtime = 'runsc'", "user = '0:0'"])
def test_without_a_word_of_the_site_no_other_runtime_and_no_root(file: Path, line: str) -> None:
    assert "this site does not allow" in problem(file, f"[definitions.x]\nimage = 'a'\n{line}\n")


def test_ceilings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"MAX_CPUS": "1.5", "MAX_PIDS": "", "ALLOWED_RUNTIMES": "runsc, kata,"}.items():
        monkeypatch.setenv(f"AGENTSITE_{name}", value)
    assert Environment().ceilings() == {"limits": {"cpus": 1.5}, "runtimes": ["runsc", "kata"], "root": False}


def test_braces_of_a_command_are_its_own(file: Path) -> None:
    file.write_text(
        "[definitions.x]\nimage = 'a'\nprocess_command = ['{python}', '-c', 'print({1: {}})', '{images}/demo']\n"
    )
    given = CatalogFile(file).current().definitions["x"].process_command
    python, *_, code, demo = filled_in(given, sys.executable, str(IMAGES_DIR))
    assert Path(python).exists()
    assert code == "print({1: {}})"
    assert Path(demo).is_dir()
