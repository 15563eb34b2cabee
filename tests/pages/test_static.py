"""Scripts and styles as they are served: smaller, and the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import override_settings

from agentsite.static import smaller

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "agents" / "static" / "agents"
OURS = {f"agents/{path.name}": path for path in (*STATIC.glob("*.js"), *STATIC.glob("*.css"))}
OURS |= {f"agents/client/{path.name}": path for path in (ROOT / "clients" / "js" / "src").glob("*.js")}


def test_comments_and_indentation_go_and_words_stay() -> None:
    text = '/** What it is. */\nfunction f() {\n  // why\n  return `//  no ${"/*"} comment`;\n}\n'
    assert smaller(text, is_script=True) == 'function f(){return`//  no ${"/*"} comment`;}'
    assert smaller("/* a */\n.x {\n  color: red; /* b */\n}\n", is_script=False) == ".x{color:red}"


@pytest.mark.parametrize("name", sorted(OURS))
def test_served_copy_is_the_smaller_one(name: str) -> None:
    source, served = OURS[name], Path(str(finders.find(name)))
    assert served.read_text("utf-8") == smaller(source.read_text("utf-8"), is_script=source.suffix == ".js")
    assert served.stat().st_mtime_ns == source.stat().st_mtime_ns


def test_vendored_files_are_served_as_they_came() -> None:
    assert finders.find("agents/vendor/marked/lexer.js") == str(STATIC / "vendor" / "marked" / "lexer.js")


def test_copy_follows_a_change_of_its_source(tmp_path: Path) -> None:
    from agentsite.static import SmallerStorage

    source = tmp_path / "agents" / "x.js"
    source.parent.mkdir()
    storage = SmallerStorage(tmp_path)
    for words in ("first();\n", "second();\n"):
        source.write_text(f"  {words}")
        with storage.open("agents/x.js") as copy:
            assert copy.read() == words.strip().encode()


def test_all_that_is_found_is_collected(tmp_path: Path) -> None:
    with override_settings(STATIC_ROOT=tmp_path):
        call_command("collectstatic", interactive=False, verbosity=0)
    for name, source in OURS.items():
        expected = smaller(source.read_text("utf-8"), is_script=source.suffix == ".js")
        assert (tmp_path / name).read_text("utf-8") == expected
