"""Whatever a table looks like, the demo agent's analysis reads it and says what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Json = dict[str, Any]
Analyse = Callable[..., Json]


WRITTEN = [
    ("name,preis\nMüller,5 €\n“Gut” \u2013 ja,3\n", "cp1252", "Windows-1252 (guessed)"),
    ("name,n\nZoë\x81,1\n", "latin-1", "ISO 8859-1 (guessed)"),
    ("姓名,金额\n张三,12\n李四,15\n", "gbk", "GBK (guessed)"),
    ("名前,金額\n山田,12\n鈴木,15\n", "shift_jis", "Shift_JIS (guessed)"),
    ("città,n\nNapoli,1\n", "utf-16", "UTF-16"),
    ("città,n\nNapoli,1\n", "utf-16-le", "UTF-16"),
    ("città,n\nNapoli,1\n", "utf-16-be", "UTF-16"),
    ("città,n\nNapoli,1\n", "utf-8-sig", "UTF-8"),
]


def column(about: Json, name: str) -> Json:
    found: Json = next(column for column in about["columns"] if column["name"] == name)
    return found


def types(about: Json) -> list[str]:
    return [column["type"] for column in about["columns"]]


def test_ragged_rows_are_filled_or_cut_and_counted(analyse: Analyse) -> None:
    about = analyse("a,b,c\n1,2,3\n4,5\n6\n7,8,9,10\n")
    assert about["rows"] == 4
    assert about["ragged"] == {"short": 2, "long": 1}
    assert [column["missing"] for column in about["columns"]] == [0, 1, 2]


def test_blank_lines_are_no_rows(analyse: Analyse) -> None:
    assert analyse("a\n1\n\n2\n\n\n")["rows"] == 2


def test_a_header_without_rows_is_a_table_of_none(analyse: Analyse) -> None:
    about = analyse("a,b\n")
    assert about["rows"] == 0
    assert types(about) == ["empty", "empty"]


@pytest.mark.parametrize("content", [b"", b"\n\n \n", b"\xef\xbb\xbf"], ids=["nothing", "blank", "mark-only"])
def test_an_empty_file_is_said_to_be_empty(analyse: Analyse, content: bytes) -> None:
    about = analyse(content)
    assert about.get("error") == "it is empty" or about["rows"] == 0


def test_a_binary_file_is_said_not_to_be_text(analyse: Analyse) -> None:
    assert "not a text file" in analyse(b"a,b\n1,\x00\n")["error"]


def test_a_byte_order_mark_is_no_part_of_the_first_name(analyse: Analyse) -> None:
    assert analyse("\ufeffname,n\nx,1\n")["columns"][0]["name"] == "name"


def test_utf16_with_a_mark_is_read(analyse: Analyse) -> None:
    about = analyse("città;n\nNapoli;1\nRoma;2\n".encode("utf-16"))
    assert [column["name"] for column in about["columns"]] == ["città", "n"]


@pytest.mark.parametrize(("text", "codec", "name"), WRITTEN)
def test_a_table_is_read_right_whatever_it_is_written_in(analyse: Analyse, text: str, codec: str, name: str) -> None:
    about = analyse(text.encode(codec))
    header, *rows = [line.split(",") for line in text.splitlines()]
    assert [column["name"] for column in about["columns"]] == header
    assert {one["value"] for one in about["columns"][0]["top"]} == {row[0] for row in rows}
    assert about["encoding"] == name


def test_a_table_of_carriage_returns_is_a_table(analyse: Analyse) -> None:
    about = analyse('a,b\r1,x\r2,"two\rlines"\r')
    assert (about["rows"], types(about)[0]) == (2, "integer")


def test_what_is_not_utf8_is_seen_even_late_in_the_file(analyse: Analyse) -> None:
    about = analyse(("name,n\n" + "plain,1\n" * 60_000 + "Jürgen,2\n").encode("latin-1"))
    assert about["encoding"] == "Windows-1252 (guessed)"
    assert {"value": "Jürgen", "count": 1} in column(about, "name")["top"]


def test_quoted_fields_keep_separators_quotes_and_line_ends(analyse: Analyse) -> None:
    about = analyse('name,n\n"Smith, J.",1\n"say ""hi""",2\n"two\nlines",3\n')
    assert about["rows"] == 3
    assert {t["value"] for t in about["columns"][0]["top"]} == {"Smith, J.", 'say "hi"', "two\nlines"}


def test_a_huge_field_is_read(analyse: Analyse) -> None:
    about = analyse("id,text\n1," + "x" * 3_000_000 + "\n2,short\n")
    assert about["columns"][1]["length"]["max"] == 3_000_000


def test_repeated_and_empty_names_become_different_ones(analyse: Analyse) -> None:
    about = analyse("a,a,,a\n1,2,3,4\n")
    assert [column["name"] for column in about["columns"]] == ["a", "a.1", "column_3", "a.2"]
    assert about["notes"]


def test_a_first_line_of_data_is_no_header(analyse: Analyse) -> None:
    about = analyse("1,2.5\n2,3.5\n3,4.5\n")
    assert about["header"] is False
    assert about["rows"] == 3


def test_a_single_column_is_a_table(analyse: Analyse) -> None:
    about = analyse("height\n1.5\n1.7\n1.9\n")
    assert about["columns"][0]["mean"] == pytest.approx(1.7)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "-2", "+3"], "integer"),
        (["1", "2.5", "1e3", ".5"], "number"),
        (["1", "inf", "-Infinity"], "number"),
        (["007", "012", "100"], "category"),
        (["1234567890123456", "1234567890123457"], "category"),
        (["1_000", "2_000"], "category"),
        (["true", "False", "TRUE"], "boolean"),
        (["yes", "no", "no"], "boolean"),
        (["2024-01-31", "2024-02-29"], "date"),
        (["2024-01-31", "2023-02-29"], "category"),
        (["2024-01-31T10:00:00Z", "2024-01-31 11:00:00.5+01:00"], "datetime"),
        (["31.12.2024", "1.1.2025"], "date"),
        (["31/12/2024", "01/02/2025"], "date"),
        (["12/31/2024", "01/02/2025"], "date"),
        (["01/02/2025", "03/04/2025"], "category"),
        (["1,234", "5,678"], "category"),
        (["1,234,567", "999"], "number"),
        (["1,234.5", "999"], "number"),
        (["1,5", "12,25"], "number"),
        (["", "NA", "null"], "empty"),
    ],
)
def test_types_are_found_and_doubt_means_text(analyse: Analyse, cells: list[str], expected: str) -> None:
    rows = "".join(f'{n}|"{cell}"\n' for n, cell in enumerate(cells * 2))
    assert analyse("n|cell\n" + rows)["columns"][1]["type"] == expected


def test_grouped_and_comma_numbers_have_their_value(analyse: Analyse) -> None:
    about = analyse("a;b\n1,234,567;1,5\n1.0;0,125\n")
    assert about["columns"][0]["max"] == 1_234_567
    assert about["columns"][1]["max"] == 1.5


def test_infinite_numbers_are_counted_and_left_out(analyse: Analyse) -> None:
    about = analyse("n\n1\ninf\n3\n-inf\n1e999\n")["columns"][0]
    assert about["infinite"] == 3
    assert about["count"] == 5
    assert about["mean"] == 2


def test_a_constant_column_has_no_correlation(analyse: Analyse) -> None:
    about = analyse("a,b\n1,0.1\n2,0.1\n3,0.1\n")
    assert about["correlations"] == [{"a": "a", "b": "b", "r": None, "n": 3}]
    assert about["columns"][1]["std"] == 0


def test_numbers_too_large_to_square_are_null_not_nan(analyse: Analyse) -> None:
    about = analyse("a,b\n1e308,1\n-1e308,2\n1e308,4\n")
    assert about["columns"][0]["std"] is None
    assert about["correlations"][0]["r"] is None


def test_distinct_texts_are_exact_up_to_a_cap_and_then_said_to_be_more(analyse: Analyse) -> None:
    about = analyse("t\n" + "".join(f"name-{n}\n" for n in range(30_000)))["columns"][0]
    assert about["distinct"] == 10_000
    assert about["distinct_exact"] is False


def test_a_very_wide_table_is_cut_and_says_so(analyse: Analyse) -> None:
    about = analyse(",".join(f"c{n}" for n in range(3_000)) + "\n" + ",".join("1" * 3_000) + "\n")
    assert len(about["columns"]) == 1_000
    assert about["notes"]
