"""`agentsite login`: nobody is locked out who has the machine."""

from __future__ import annotations

import html
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agentsite.cli.site_address import public_address
from agentsite.environment import Environment
from tests.cli.terminal import Terminal


@pytest.fixture(autouse=True)
def no_static_files(settings: Any) -> None:
    settings.STATIC_ROOT, settings.WHITENOISE_USE_FINDERS = None, False


def follow(link: str) -> Client:
    browser = Client()
    assert browser.get(urlsplit(link).path).status_code == 302
    return browser


@pytest.mark.django_db
def test_link_logs_the_first_administrator_in_once(terminal: Terminal):
    admin = User.objects.create_superuser("ada")
    User.objects.create_superuser("later")
    shown = terminal("login", "--url", "https://agents.example.org/")
    assert (shown.code, shown.err) == (0, "")
    assert re.fullmatch(r"https://agents\.example\.org/login/link/\S+\n", shown.out)
    browser = follow(shown.out.strip())
    assert int(browser.session["_auth_user_id"]) == admin.pk
    assert Client().get(urlsplit(shown.out.strip()).path).status_code == 410


@pytest.mark.django_db
def test_who_logs_out_gets_in_again(terminal: Terminal):
    admin = User.objects.create_superuser("ada")
    admin.set_unusable_password()
    admin.save()
    first = terminal("login").out.strip()
    browser = follow(first)
    login_page = browser.post("/logout/", follow=True).content.decode()
    assert shown_command(login_page)
    used = browser.get(urlsplit(first).path)
    assert used.status_code == 410
    assert shown_command(used.content.decode()) == shown_command(login_page)
    assert follow(terminal("login", "ada").out.strip()).get("/api/agents").status_code == 200


def shown_command(page: str) -> str:
    (command,) = re.findall(r"<code>(.*? login)</code>", page)
    return html.unescape(command)


@pytest.mark.django_db
def test_command_on_the_page_works_as_pasted_from_any_directory(settings: Any, tmp_path: Path):
    """With another data directory than the default, and without `agentsite` on the PATH."""
    settings.DATA_DIR = tmp_path / "it's data"
    command = shown_command(Client().get("/login/", headers={"host": "127.0.0.1"}).content.decode())
    done = subprocess.run(
        ["/bin/sh", "-c", command.removesuffix("login") + "--version; echo $AGENTSITE_DATA_DIR"],
        cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("agentsite "), (command, done.stderr)
    assert shlex.split(command)[0] == f"AGENTSITE_DATA_DIR={settings.DATA_DIR}"


@pytest.mark.django_db
@pytest.mark.parametrize(("address", "host"), [("192.0.2.7", "127.0.0.1"), ("127.0.0.1", "agents.example.org")])
def test_who_is_elsewhere_is_not_told_where_the_sites_files_are(settings: Any, address: str, host: str):
    settings.ALLOWED_HOSTS = ["*"]
    page = Client(REMOTE_ADDR=address).get("/login/", headers={"host": host}).content.decode()
    assert shown_command(page) == "agentsite login"


@pytest.mark.django_db
def test_there_is_no_link_for_nobody(terminal: Terminal):
    assert "there is no administrator yet" in terminal("login").problem
    User.objects.create_user("eve", is_active=False)
    assert "no active user 'eve'" in terminal("login", "eve").problem


def test_link_begins_where_people_reach_the_site(tmp_path: Path):
    def address(**settings: str) -> str:
        return public_address(Environment(data_dir=tmp_path, host="0.0.0.0", **settings))  # type: ignore[arg-type]

    assert address() == "http://127.0.0.1:8000"
    (tmp_path / "url").write_text("http://127.0.0.1:9001/\n")
    assert address() == "http://127.0.0.1:9001"
    assert address(csrf_trusted_origins="https://*.example.org, https://agents.example.org/") == (
        "https://agents.example.org"
    )
