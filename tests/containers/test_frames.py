from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.engines.frames import HEADER, FrameError, FrameReader
from containers.interface import BEGINNING, Offset, Output, Stream

NUMBERS: dict[Stream, int] = {"stdout": 1, "stderr": 2}
outputs = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=20)), max_size=12)


def framed(output: list[tuple[Stream, bytes]]) -> bytes:
    return b"".join(HEADER.pack(NUMBERS[stream], len(data)) + data for stream, data in output)


def joined(pieces: list[Output], stream: str) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


@given(outputs, st.lists(st.integers(1, 30), max_size=20), st.integers(0, 80), st.integers(0, 80))
def test_bytes_after_any_offset_come_out_however_frames_are_cut(
    output: list[tuple[Stream, bytes]], sizes: list[int], out_at: int, err_at: int
) -> None:
    data = framed(output)
    reader = FrameReader(Offset(out_at, err_at))
    pieces: list[Output] = []
    for size in [*sizes, len(data)]:
        pieces += reader.feed(data[:size])
        data = data[size:]
    for stream, at, given_bytes in (("stdout", out_at, reader.given.stdout), ("stderr", err_at, reader.given.stderr)):
        whole = b"".join(part for name, part in output if name == stream)
        assert joined(pieces, stream) == whole[at:]
        assert given_bytes == max(at, len(whole))


def test_data_is_given_before_its_frame_ends() -> None:
    reader = FrameReader(BEGINNING)
    assert reader.feed(HEADER.pack(1, 100) + b"begin") == [Output("stdout", b"begin")]
    assert reader.given == Offset(5, 0)


def test_what_is_not_a_frame_is_refused() -> None:
    with pytest.raises(FrameError):
        FrameReader(BEGINNING).feed(b"HTTP/1.1 200 OK")
