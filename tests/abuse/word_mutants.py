"""What stands between a program's words and the log, the pages and terminals, taken out: see mutants.py."""

from __future__ import annotations

from tests.mutation import Change, Mutant

JSONL, TRANSLATE = "containers/protocols/jsonl.py", "agents/programs/translator.py"
MARKDOWN, SAFE = "agents/pages/markdown.py", "agentsite/cli/safe.py"
BAD = "tests/agents/test_bad_output.py"
SITES_WORDS = f"{BAD}::test_what_only_the_site_may_say_stays_words_of_the_program[process]"
PAGE = "tests/browser/test_page.py::test_nothing_an_agent_or_user_writes_runs_in_the_page"
TERMINAL = "tests/cli/test_client.py::test_nothing_an_agent_says_drives_the_terminal"

SCRIPT, OUTPUT = "agents/static/agents/markdown.js", "agents/static/agents/terminal.js"
TEXT, OTHER = "      return token.raw;", 'h("p", { class: "plain" }, token.raw);\n  }'
AS_HTML = 'Object.assign(h("span"), { innerHTML: token.raw });'

WORDS = {
    "long lines": Mutant(
        f"{BAD}::test_a_line_of_100_mb_below_the_limit_is_cut_and_the_run_goes_on[process]",
        [Change(JSONL, "LINE_BYTES = 1024 * 1024", "LINE_BYTES = 2**40")],
    ),
    "invalid UTF-8": Mutant(
        f"{BAD}::test_strings_that_no_database_takes_are_mended[process]",
        [Change(JSONL, 'raw.decode("utf-8", "replace")', 'raw.decode("utf-8", "surrogateescape")')],
    ),
    "NUL bytes": Mutant(
        f"{BAD}::test_strings_that_no_database_takes_are_mended[process]",
        [Change(JSONL, '_REPLACEMENT = "\\ufffd"', '_REPLACEMENT = "\\x00"')],
    ),
    "events of the site": Mutant(
        SITES_WORDS, [Change(TRANSLATE, '        "log",\n', '        "log", "files", "title", "approval-response",\n')]
    ),
    "a user's words": Mutant(
        SITES_WORDS,
        [Change(TRANSLATE, 'if type_ == "message" and said.get("role", "assistant") == "user":', "if False:")],
    ),
    "a prompt's id": Mutant(
        SITES_WORDS, [Change(TRANSLATE, '_is_users(said.get(name)) for name in ("message_id", "call_id")', "[]")]
    ),
    "fields that are the site's": Mutant(
        SITES_WORDS,
        [
            Change(TRANSLATE, " if key in SCHEMA[type_].model_fields}", "}"),
            Change("streaming/model/events.py", 'extra="ignore"', 'extra="allow"'),
        ],
    ),
    "done and more": Mutant(
        f"{BAD}::test_output_after_done_is_kept_and_done_stays_last[process]",
        [Change("agents/programs/output_pump.py", "if self._conversation.done is not None:", "if False:")],
    ),
    "HTML, by the server": Mutant(
        "tests/pages/test_markdown.py::test_hostile_markdown_gets_only_harmless_tags_and_addresses",
        [
            Change(MARKDOWN, '{"html": False}', '{"html": True}'),
            Change(MARKDOWN, "html = nh3.clean(\n", "html = (lambda html, **_: html)(\n"),
        ],
    ),
    "HTML, by the browser": Mutant(
        PAGE,
        [
            Change(SCRIPT, "  html() {}\n  tag() {}\n", ""),
            Change(SCRIPT, TEXT, f"return {AS_HTML}"),
            Change(SCRIPT, OTHER, f"{AS_HTML}\n  }}"),
        ],
    ),
    "policy of pages": Mutant(
        "tests/pages/test_views.py",
        [Change("agentsite/security.py", "script-src 'self'; ", "script-src 'self' 'unsafe-inline'; ")],
    ),
    "escapes on the page": Mutant(
        "tests/browser/test_modules.py::test_terminal_output_is_cut_into_pieces_by_its_colours",
        [Change(OUTPUT, 'const plain = piece.replace(CONTROL, "");', "const plain = piece;")],
    ),
    "HTML in program output": Mutant(
        PAGE, [Change(OUTPUT, "document.createTextNode(piece)", 'Object.assign(h("span"), { innerHTML: piece })')]
    ),
    "HTML in the admin": Mutant(
        "tests/admin/test_timeline.py::test_the_timeline_joins_deltas_and_escapes_what_agents_write",
        [
            Change(
                "agents/templates/admin/agents/run/timeline.html",
                "<pre>{{ line.clipped }}",
                "<pre>{{ line.clipped|safe }}",
            )
        ],
    ),
    "escapes in the terminal": Mutant(TERMINAL, [Change(SAFE, 'return _CONTROL.sub("", text)', "return text")]),
    "escapes in the terminal, as JSON": Mutant(
        TERMINAL, [Change(SAFE, "json.dumps(event, ensure_ascii=False)", "event['data'].get('content', '')")]
    ),
}
