"""What the documents tell people to type exists."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SCRIPTS = [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").iterdir())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_make_target_that_is_named_exists(document):
    code = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", document.read_text(), re.DOTALL))
    named = set(re.findall(r"\bmake ([a-z-]+)", code))
    assert named - TARGETS == set()


def test_help_lists_every_target():
    listed = subprocess.run(["make", "--silent"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in listed.splitlines()} == TARGETS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_script_is_executable_and_parses(script):
    assert os.access(script, os.X_OK)
    if script.read_text().startswith("#!/bin/bash"):
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_a_settled_environment_is_left_alone():
    """`make` after `make` does nothing: no package index is asked when the lock has not changed."""
    stamps = {"requirements.txt": ".runtime", "requirements-dev.txt": ".dev"}
    if not all((ROOT / ".venv" / stamp).exists() for stamp in stamps.values()):
        pytest.skip("this environment was not made by make")
    for stamp in stamps.values():
        command = ["make", "--question", f".venv/{stamp}"]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0, (
            f"{stamp} is older than what it is made from"
        )
