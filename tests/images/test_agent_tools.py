"""The tools of the bundled agent: what they do, show and tell, and where they stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from containers.images.agent.tools import Output, ToolFailed, built_in
from containers.images.agent.tools.finding import LISTED_FILES
from containers.images.agent.tools.tool import SHOWN_CHARACTERS, TOLD_CHARACTERS

TOOLS = {tool.name: tool for tool in built_in()}


class Said:
    """A call: its result, what it showed, and what the model is told of that."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.output = Output(self.pieces.append)
        self.result = ""

    @property
    def shown(self) -> str:
        return "".join(self.pieces)


@pytest.fixture(autouse=True)
def _here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSPACE", str(workspace))


async def call(name: str, **arguments: Any) -> Said:
    said = Said()
    said.result = await TOOLS[name].call(arguments, said.output)
    return said


async def fails(name: str, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as raised:
        await call(name, **arguments)
    return str(raised.value)


async def test_output_is_shown_while_a_command_runs(workspace: Path) -> None:
    said = Said()
    work = TOOLS["bash"].call({"command": "echo begun; until [ -e go ]; do sleep 0.05; done; echo ended"}, said.output)
    running = asyncio.create_task(work)
    async with asyncio.timeout(30):
        while "begun" not in said.shown:  # noqa: ASYNC110 - output is not an event of the loop
            await asyncio.sleep(0.01)
    assert not running.done()
    (workspace / "go").touch()
    assert await running == "Exit code 0."
    assert said.shown == said.output.text() == "begun\nended\n"


async def test_much_output_is_shown_and_told_up_to_a_limit() -> None:
    said = await call("bash", command="echo first; head -c 1000000 /dev/zero | tr '\\0' x; echo; echo last")
    assert SHOWN_CHARACTERS < len(said.shown) < SHOWN_CHARACTERS + 100
    told = said.output.text()
    assert len(told) < TOLD_CHARACTERS + 100
    assert told.startswith("first\n")
    assert told.endswith("last\n")
    assert "976012 characters are left out" in told


async def test_a_command_that_takes_too_long_is_stopped_with_all_it_started(workspace: Path) -> None:
    words = await fails("bash", command="sleep 300 & echo $! > child; echo $$ > pid; wait", timeout_s=1)
    assert "took longer than 1 s" in words
    for name in ("pid", "child"):
        await gone(int((workspace / name).read_text()))


async def test_what_a_command_leaves_in_the_background_neither_holds_it_up_nor_stays(workspace: Path) -> None:
    said = await call("bash", command="sleep 300 & echo $! > child; echo done")
    assert said.shown == "done\n"
    await gone(int((workspace / "child").read_text()))


async def gone(pid: int) -> None:
    def there() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    async with asyncio.timeout(30):
        while there():  # noqa: ASYNC110 - somebody else's process has no event of ours
            await asyncio.sleep(0.01)


async def test_bytes_that_are_no_text_do_not_harm() -> None:
    said = await call("bash", command="printf 'a\\377b\\0c\\303'; sleep 0; printf '\\251\\n'")
    assert said.shown == "a\ufffdb\ufffdcé\n"


async def test_a_command_has_no_stdin() -> None:
    assert (await call("bash", command="cat")).shown == ""


async def test_a_file_is_read_in_parts(workspace: Path) -> None:
    (workspace / "long.txt").write_text("".join(f"line {number}\n" for number in range(1, 5001)))
    said = await call("read_file", path="long.txt", first_line=10, lines=2)
    assert said.shown == "line 10\nline 11\n"
    assert said.result == "Lines 10 to 11; there is more."
    assert (await call("read_file", path="long.txt")).result == "Lines 1 to 2000; there is more."
    assert (await call("read_file", path="long.txt", first_line=4999)).result == "Lines 4999 to 5000, the end."
    assert (await call("read_file", path="long.txt", first_line=6000)).result == "There are fewer lines."


async def test_what_is_read_has_a_limit(workspace: Path) -> None:
    (workspace / "wide.txt").write_text("x" * 1_000_000 + "\n" + "y" * 1_900 + "\n" + ("z" * 1_900 + "\n") * 100)
    said = await call("read_file", path="wide.txt")
    assert len(said.shown) <= TOLD_CHARACTERS + 100
    assert "1000001 characters" in said.shown
    assert said.result.endswith("there is more.")


async def test_a_binary_file_is_not_read(workspace: Path) -> None:
    (workspace / "picture").write_bytes(b"\x89PNG\0\0")
    assert "not a text file" in await fails("read_file", path="picture")


async def test_a_file_is_written_whole_and_keeps_its_mode(workspace: Path) -> None:
    (workspace / "run.sh").write_text("old")
    (workspace / "run.sh").chmod(0o750)
    said = await call("write_file", path="run.sh", content="echo ünï\n")
    assert said.result == "Wrote run.sh (11 bytes)."
    assert (workspace / "run.sh").read_text() == "echo ünï\n"
    assert (workspace / "run.sh").stat().st_mode & 0o777 == 0o750
    assert [path.name for path in workspace.iterdir()] == ["run.sh"]


async def test_a_file_that_can_not_be_written_leaves_nothing(workspace: Path) -> None:
    (workspace / "folder").mkdir()
    assert "cannot be written" in await fails("write_file", path="folder", content="x")
    assert [path.name for path in workspace.iterdir()] == ["folder"]


async def test_an_edit_is_exact_and_in_one_place(workspace: Path) -> None:
    (workspace / "a.txt").write_bytes(b"one\r\ntwo\r\none\r\n")
    assert "2 times" in await fails("edit_file", path="a.txt", old="one", new="1")
    assert "not in a.txt" in await fails("edit_file", path="a.txt", old="three", new="3")
    said = await call("edit_file", path="a.txt", old="two\r\n", new="2\r\n")
    assert (workspace / "a.txt").read_bytes() == b"one\r\n2\r\none\r\n"
    assert "-two" in said.shown
    assert "+2" in said.shown
    assert (await call("edit_file", path="a.txt", old="one", new="1", everywhere=True)).result.endswith("2 places.")


async def test_files_are_listed_by_name_with_a_limit(workspace: Path) -> None:
    (workspace / "sub").mkdir()
    (workspace / ".git").mkdir()
    for path in ("b.py", "a.md", "sub/c.py", ".git/config"):
        (workspace / path).write_text("12")
    assert (await call("list_files")).shown == "a.md  2 bytes\nb.py  2 bytes\nsub/c.py  2 bytes\n"
    assert (await call("list_files", pattern="*.py")).result == "2 files."
    assert (await call("list_files", path="sub")).result == "1 file."
    assert "not a folder" in await fails("list_files", path="nowhere")
    for number in range(LISTED_FILES + 1):
        (workspace / "sub" / f"{number}").touch()
    assert "More than" in (await call("list_files")).result


async def test_a_search_tells_where(workspace: Path) -> None:
    (workspace / "a.py").write_text("def main():\n    pass\n")
    (workspace / "b.txt").write_text("Main thing\n")
    said = await call("search", pattern="main", files="*.py")
    assert said.shown == "./a.py:1:def main():\n"
    assert len((await call("search", pattern="^main", ignore_case=True)).shown.splitlines()) == 1
    assert (await call("search", pattern="nothing of the kind")).result == "Not found."
    assert "pattern" in await fails("search", pattern="(")
    assert "There is no" in await fails("search", pattern="x", path="nowhere")


async def test_a_pattern_that_looks_like_an_option_is_a_pattern(workspace: Path) -> None:
    (workspace / "a.txt").write_text("--help\n")
    assert (await call("search", pattern="--help")).shown == "./a.txt:1:--help\n"


def test_every_tool_says_what_it_takes() -> None:
    for tool in TOOLS.values():
        schema = tool.definition().parameters_json_schema
        assert tool.description
        assert schema["additionalProperties"] is False
        assert schema["properties"]


async def test_a_link_is_written_through_and_not_replaced(workspace: Path) -> None:
    (workspace / "real.txt").write_text("old")
    (workspace / "link.txt").symlink_to("real.txt")
    await call("write_file", path="link.txt", content="new")
    assert (workspace / "real.txt").read_text() == "new"
    assert (workspace / "link.txt").is_symlink()
