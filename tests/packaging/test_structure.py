"""`make structure` shows how large the packages are, and fails on an import cycle."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_there_is_no_cycle_and_no_violation_of_the_layers():
    shown = subprocess.run(
        [sys.executable, ROOT / "scripts" / "structure"], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "import cycles: 0" in shown.stdout
    assert "0 broken" in shown.stdout


def test_modules_that_import_one_another_are_one_cycle(monkeypatch: pytest.MonkeyPatch):
    graph = grimp.ImportGraph()
    for importer, imported in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("e", "a")):
        graph.add_import(importer=importer, imported=imported)
    monkeypatch.setattr(grimp, "build_graph", lambda *packages, **options: graph)
    structure = ModuleType("structure")
    structure.__file__ = str(ROOT / "scripts" / "structure")
    exec(SourceFileLoader("structure", structure.__file__).get_code("structure") or "", structure.__dict__)
    assert structure.find_cycles() == [["a", "b", "c"]]
