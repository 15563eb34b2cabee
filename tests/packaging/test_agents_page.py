"""docs/agents.md quotes the examples as they are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from agents.definitions.catalog import read
from agents.definitions.ceilings import Ceilings
from containers.images.build import find_examples

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "agents.md").read_text()
QUOTES = re.findall(r"From\s+`([\w/.]+)`:\n```\w+\n(.*?)```", PAGE, re.DOTALL)


def test_it_quotes_every_language():
    assert {Path(path).parent.name for path, _ in QUOTES} == {"sh", "python", "node"}
    assert len(QUOTES) >= 6


@pytest.mark.parametrize(("path", "quote"), QUOTES)
def test_what_it_quotes_is_there(path: str, quote: str):
    assert quote in (ROOT / path).read_text()


@pytest.mark.parametrize("image", find_examples(), ids=lambda image: image.name)
def test_the_block_of_an_example_is_a_definition_of_its_image(image):
    readme = (image.folder / "README.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", readme, re.DOTALL)
    (definition,) = read(block, Ceilings()).definitions.values()
    assert definition.image == image.tag
    assert f"agentsite images build {image.name}" in readme


def test_its_own_definition_is_one():
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert list(read(block, Ceilings()).definitions) == list(tomllib.loads(block)["definitions"])
