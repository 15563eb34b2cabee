"""Container protocol v1: bytes to lines however they are cut, and values that can be stored anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.interface import BEGINNING, Offset, Stream
from containers.protocols import jsonl
from containers.protocols.jsonl import Line, Parser

LIMIT = 40


def parse(*chunks: bytes, stream: Stream = "stdout", line_bytes: int = LIMIT, after: Offset = BEGINNING) -> list[Line]:
    parser = Parser(line_bytes=line_bytes, after=after)
    return [line for chunk in chunks for line in parser.feed(stream, chunk)] + parser.finish()


def one(data: bytes, **options: Any) -> tuple[str, Any]:
    (line,) = parse(data, **{"line_bytes": 1_000_000, **options})
    return line.kind, line.value


def test_object_with_a_type_is_an_object() -> None:
    assert one(b'{"type":"text","content":"H\xc3\xa4"}\n') == ("object", {"type": "text", "content": "Hä"})
    assert one(b' \t{"a": [1, 2.5, null, true], "type": ""} \r\n') == (
        "object",
        {"a": [1, 2.5, None, True], "type": ""},
    )


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[1]",
        b'"type"',
        b"{}",
        b'{"type":1}',
        b'{"type":null}',
        b'{"type":"a"',
        b'{"type":"a"} {}',
        b'{"type":"a","x":NaN}',
        b'{"type":"a","x":-Infinity}',
        b'{"type":"a","x":1e999}',
        b'{"type":"a","x":9223372036854775808}',
        b'{"type":"a","x":-9223372036854775809}',
        b'{"type":"a","x":' + b"9" * 5000 + b"}",
        b'{"type":"a","x":' + b"[" * 64 + b"]" * 64 + b"}",
        b'{"type":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"type":"a","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"type":"a","x":"\t"}',
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda line: line[:30].decode("ascii", "replace"),
)
def test_anything_else_is_text(line: bytes) -> None:
    assert one(line + b"\n") == ("text", line.decode())


def test_numbers_at_the_edge_are_kept() -> None:
    _, value = one(b'{"type":"a","x":[9223372036854775807,-9223372036854775808,1e308,-0.0]}')
    assert value["x"] == [2**63 - 1, -(2**63), 1e308, 0.0]


def test_nesting_up_to_the_limit_is_kept() -> None:
    assert one(b'{"type":"a","x":' + b"[" * 63 + b"]" * 63 + b"}\n")[0] == "object"


def test_brackets_in_strings_are_not_nesting() -> None:
    assert one(b'{"type":"a","x":"' + b"[{" * 500 + b'"}\n')[0] == "object"


def test_stderr_is_never_an_object() -> None:
    assert one(b'{"type":"done"}\n', stream="stderr") == ("text", '{"type":"done"}')


def test_nul_and_lone_surrogates_cannot_come_out() -> None:
    assert one(b"a\x00b\n") == ("text", "a\ufffdb")
    assert one(b'{"type":"a","\\u0000k":["\\u0000","x\\ud800y","\\udfff"]}\n') == (
        "object",
        {"type": "a", "\ufffdk": ["\ufffd", "x\ufffdy", "\ufffd"]},
    )
    assert one(b'{"type":"a","x":"1\x002"}\n') == ("object", {"type": "a", "x": "1\ufffd2"})
    assert one(b'{"type":"a","x":"\\ud83d\\ude00 \\\\u0000"}\n') == ("object", {"type": "a", "x": "😀 \\u0000"})


def test_invalid_utf8_becomes_replacement_characters() -> None:
    assert one(b"a\xff\xfeb\xed\xa0\x80\n") == ("text", "a\ufffd\ufffdb\ufffd\ufffd\ufffd")


def test_blank_lines_are_skipped() -> None:
    lines = parse(b"\n \r\n\t\n\x0b\na\n\n")
    assert [line.value for line in lines] == ["a"]
    assert lines[0].end_offset == Offset(10, 0)


def test_last_line_needs_no_newline() -> None:
    assert [(line.value, line.end_offset) for line in parse(b"a\nb")] == [("a", Offset(2)), ("b", Offset(3))]


def test_line_of_the_limit_is_whole_and_one_more_byte_is_cut() -> None:
    for ending in (b"\n", b"\r\n", b""):
        (whole,) = parse(b"x" * LIMIT + ending)
        (cut,) = parse(b"x" * (LIMIT + 1) + ending)
        assert (whole.kind, whole.value, whole.cut) == ("text", "x" * LIMIT, False)
        assert (cut.kind, cut.value, cut.cut) == ("cut", "x" * LIMIT, True)
        assert cut.end_offset == Offset(LIMIT + 1 + len(ending))


def test_cut_object_is_not_an_object() -> None:
    (line,) = parse(b'{"type":"a"}' + b" " * LIMIT + b"\n")
    assert line.kind == "cut"


def test_cut_does_not_split_a_character() -> None:
    (line,) = parse(b"x" * (LIMIT - 1) + "ä".encode() * 5 + b"\n")
    assert line.value == "x" * (LIMIT - 1)


def test_memory_is_bounded_by_the_limit() -> None:
    parser = Parser(line_bytes=1000)
    for _ in range(1000):
        assert parser.feed("stdout", b"x" * 65536) == []
    assert len(parser._pending["stdout"].kept) <= 1001
    (line,) = parser.feed("stdout", b"\n")
    assert (line.kind, line.end_offset) == ("cut", Offset(65536 * 1000 + 1))


def test_offset_counts_only_whole_lines_of_the_other_stream() -> None:
    parser = Parser()
    parser.feed("stderr", b"whole\nhalf")
    (line,) = parser.feed("stdout", b"out\n")
    assert line.end_offset == parser.offset == Offset(4, 6)


SPECIAL = [b"\n", b"\r\n", b"\r", b" ", b"\x00", b"\xff", b"\xc3", b"\xa4", b"abc"]
OBJECTS = [b'{"type":"a"}', b'{"type":"a","x":"\\ud800"}', b'{"type":"a","x":"\\u0000"}']
pieces = st.sampled_from(SPECIAL + OBJECTS) | st.binary(max_size=60)
outputs = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), pieces), max_size=30)


@given(outputs, st.data())
def test_chunks_make_no_difference(output: list[tuple[Stream, bytes]], data: st.DataObject) -> None:
    """Whole streams at once, and the same cut anywhere, give the same lines of each stream."""
    parser = Parser(line_bytes=LIMIT)
    lines = []
    for stream, piece in output:
        at = data.draw(st.integers(0, len(piece)))
        lines += parser.feed(stream, piece[:at]) + parser.feed(stream, piece[at:])
    lines += parser.finish()
    for stream in ("stdout", "stderr"):
        whole = b"".join(piece for name, piece in output if name == stream)
        ours = [(line.kind, line.value, getattr(line.end_offset, stream)) for line in lines if line.stream == stream]
        expected = parse(whole, stream=stream)
        assert ours == [(line.kind, line.value, getattr(line.end_offset, stream)) for line in expected]


@given(outputs)
def test_resuming_at_any_line_gives_exactly_the_rest(output: list[tuple[Stream, bytes]]) -> None:
    parser = Parser(line_bytes=LIMIT)
    lines = [line for stream, piece in output for line in parser.feed(stream, piece)] + parser.finish()
    for number, line in enumerate(lines):
        again = Parser(line_bytes=LIMIT, after=line.end_offset)
        rest = []
        for stream, piece in _after(output, line.end_offset):
            rest += again.feed(stream, piece)
        rest += again.finish()
        for stream in ("stdout", "stderr"):
            expected = [later for later in lines[number + 1 :] if later.stream == stream]
            found = [later for later in rest if later.stream == stream]
            assert [later[:3] for later in found] == [later[:3] for later in expected]
        if rest:
            assert rest[-1].end_offset == lines[-1].end_offset


@given(st.lists(pieces, max_size=20).map(b"".join))
def test_everything_that_comes_out_can_be_stored(data: bytes) -> None:
    for line in parse(data, line_bytes=10_000):
        json.dumps(line.value, ensure_ascii=False, allow_nan=False).encode("utf-8")
        assert not any("\x00" in string for string in _strings(line.value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)


def _after(output: list[tuple[Stream, bytes]], offset: Offset) -> list[tuple[Stream, bytes]]:
    skip = {"stdout": offset.stdout, "stderr": offset.stderr}
    rest = []
    for stream, piece in output:
        skipped = min(skip[stream], len(piece))
        skip[stream] -= skipped
        rest.append((stream, piece[skipped:]))
    return rest


def test_start_has_everything_a_program_needs() -> None:
    line = jsonl.start("r1", "Hi", [{"role": "user", "content": "a\nb"}], {"model": "m"})
    assert b"\n" not in line
    assert json.loads(line) == {
        "type": "start",
        "protocol": 1,
        "run_id": "r1",
        "input": {"content": "Hi"},
        "history": [{"role": "user", "content": "a\nb"}],
        "config": {"model": "m"},
    }


def test_later_commands() -> None:
    assert json.loads(jsonl.message("go on")) == {"type": "message", "content": "go on"}
    assert json.loads(jsonl.approval("a1", "allow", command_id="c1")) == {
        "type": "approval",
        "approval_id": "a1",
        "decision": "allow",
        "id": "c1",
    }
    assert json.loads(jsonl.cancel()) == {"type": "cancel"}


@given(st.text())
def test_commands_are_one_line_of_ascii(content: str) -> None:
    line = jsonl.message(content)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert json.loads(line)["content"] == content


def test_commands_hold_no_numbers_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        jsonl.start("r1", "", [], {"temperature": float("nan")})
