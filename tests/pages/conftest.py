"""Two people, an agent with a run, a file of definitions, and no worker.

Modules of ours are imported late: pytest reads this file before the servers' plugin has set Django's settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.contrib.auth.models import User
    from django.test import Client

    from agents.models import Agent, Run
    from tests.servers import RedisServer

DEFINITIONS = """
[definitions.demo]
title = "Data analyst (demo)"
description = "Works without a key."
image = "demo"
sample_prompts = ["Analyse <the> data."]
"""


@pytest.fixture(autouse=True)
def definitions_file(tmp_path: Path, settings: LazySettings) -> Path:
    path = tmp_path / "agents.toml"
    path.write_text(DEFINITIONS)
    settings.DEFINITIONS_FILE = path
    settings.DATA_DIR = tmp_path
    settings.STATIC_ROOT = tmp_path  # whitenoise warns of one that is not there, and warnings are errors
    settings.WHITENOISE_USE_FINDERS = False  # each client would look for all files anew
    settings.WORKSPACES_DIR = tmp_path / "workspaces"
    settings.HISTORY_DIR = tmp_path / "history"
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # the real one takes a second
    return path


@pytest.fixture(autouse=True)
def database_threads() -> Iterator[None]:
    """The log is written by threads of its own, whose connections would keep the test database from being dropped."""
    from streaming.store.database import close_threads

    yield
    close_threads()


@pytest.fixture(autouse=True)
def no_workers_known(redis_server: RedisServer) -> None:
    """Workers of other tests, which were killed, are remembered until their keys expire."""
    redis_server.flush()


@pytest.fixture(autouse=True)
def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked for stays queued."""
    from agents.runs import commands

    monkeypatch.setattr(commands, "enqueue", lambda agent_id: None)


@pytest.fixture
def ada() -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("ada", password="analytical engine")


@pytest.fixture
def client(ada: User) -> Client:
    from django.test import Client

    client = Client()
    client.force_login(ada)
    return client


@pytest.fixture
def stranger() -> Client:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_user("eve", is_staff=True))
    return client


@pytest.fixture
def agent(ada: User) -> Agent:
    from agents.runs import commands

    return commands.create_agent(ada, "demo")[0]


@pytest.fixture
def run(agent: Agent) -> Run:
    """Ended well, and left files."""
    from tests.pages import story

    run = story.new_run(agent, "Analyse the sales.")
    story.write(run, story.FINISHED)
    story.keep(run, story.BEFORE, story.AFTER)
    return run
