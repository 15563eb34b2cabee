"""README and docs are true: their settings are those of the code, their targets, commands and links exist."""

from __future__ import annotations

import re
from pathlib import Path

from typer.core import TyperGroup
from typer.main import get_command

from agentsite.cli.main import app
from agentsite.cli.settings_table import render_settings

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))


def test_the_settings_are_those_of_the_code():
    page = (ROOT / "docs" / "settings.md").read_text()
    block = re.search(r"<!-- settings: .* -->\n(.*)<!-- /settings -->", page, re.DOTALL)
    assert block is not None
    assert block[1] == render_settings()


def test_the_readme_fits_on_one_screen():
    assert len(README.splitlines()) <= 60


def test_its_targets_are_in_the_makefile():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)\b", README)) <= set(targets)


def test_its_commands_are_there():
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    for document in DOCUMENTS:
        for name in re.findall(r"\bagentsite ([a-z]+)\b", document.read_text()):
            assert name in command.commands, f"{document.name}: {name}"


def test_its_links_lead_somewhere():
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)#]+)", document.read_text()):
            assert "://" in link or (document.parent / link).exists(), f"{document.name}: {link}"
