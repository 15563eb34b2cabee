"""Plain words in a prompt are understood where they are plain, and otherwise left alone."""

from __future__ import annotations

import pytest

from containers.images.demo.request import Request

PENGUINS = ["species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g", "sex"]


def understood(prompt: str, names: list[str] = PENGUINS) -> Request:
    request = Request.read(prompt, ["penguins.csv", "2024/sales.csv", "data.csv"])
    request.find_columns(names)
    return request


@pytest.mark.parametrize(
    ("prompt", "columns", "by"),
    [
        ("body_mass_g by species", ["species", "body_mass_g"], "species"),
        ("How does the body mass differ between the islands?", ["island", "body_mass_g"], "island"),
        ("Histogram of BILL_LENGTH_MM", ["bill_length_mm"], None),
        ("What is in it?", [], None),
        ("mean flipper length per sex, please", ["flipper_length_mm", "sex"], "sex"),
        ("a sexist remark about speciesism", [], None),
        ("", [], None),
    ],
)
def test_columns_and_groups_are_found(prompt: str, columns: list[str], by: str | None) -> None:
    request = understood(prompt)
    assert request.columns == columns
    assert request.by == by


@pytest.mark.parametrize(
    ("prompt", "columns"),
    [
        ("a look at it", []),
        ("look at column a", ["a"]),
        ("look at `a`", ["a"]),
        ("what time is it", []),
        ("the 'time' column", ["time"]),
    ],
)
def test_everyday_words_count_only_where_they_are_clearly_meant(prompt: str, columns: list[str]) -> None:
    assert understood(prompt, ["a", "time"]).columns == columns


@pytest.mark.parametrize(
    ("prompt", "files"),
    [
        ("look at penguins.csv", ["penguins.csv"]),
        ("what about the Penguins?", ["penguins.csv"]),
        ("2024/sales.csv", ["2024/sales.csv"]),
        ("analyse my data", []),
    ],
)
def test_files_are_found_by_name(prompt: str, files: list[str]) -> None:
    assert understood(prompt).files == files


def test_camel_case_names_are_words() -> None:
    assert understood("compare unit price by store", ["unitPrice", "storeName", "store"]).columns == [
        "unitPrice",
        "store",
    ]
