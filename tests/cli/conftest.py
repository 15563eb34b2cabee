from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """In no particular place: with no site and no token."""
    monkeypatch.delenv("AGENTSITE_TOKEN", raising=False)
    return Terminal(capsys, monkeypatch)
