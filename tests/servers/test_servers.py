"""The test servers keep their address, lose and keep what they say they do, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests.servers import PostgresServer, RedisServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def postgres():
    with PostgresServer() as server:
        yield server


def test_redis_comes_back_empty_on_the_same_address():
    with RedisServer() as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", 1)
        port = server.port
        server.restart_empty()
        assert server.port == port
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") is None


def test_persistent_redis_keeps_its_data_over_a_kill():
    with RedisServer(persistent=True) as server:
        with redis.Redis.from_url(server.url) as client:
            client.set("a", 1)
        server.kill()
        assert not server.is_running
        server.start()
        with redis.Redis.from_url(server.url) as client:
            assert client.get("a") == b"1"


def test_paused_redis_answers_nothing_and_then_everything():
    with RedisServer() as server, redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None) as client:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.resume()
        assert client.ping()


def test_many_servers_at_once_have_ports_of_their_own():
    with RedisServer() as one, RedisServer() as other:
        assert one.port != other.port


def test_postgres_keeps_its_data_over_a_crash(postgres):
    with psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept (n int)")
    postgres.kill()
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_postgres_makes_further_databases(postgres):
    with psycopg.connect(postgres.create_database("other")) as connection:
        assert connection.info.dbname == "other"


def test_servers_die_with_a_killed_owner():
    """However the tests end: no atexit handler runs after SIGKILL."""
    program = (
        "from tests.servers import RedisServer, PostgresServer; import time\n"
        "r, p = RedisServer().start(), PostgresServer().start()\n"
        "print(r._process.pid, p._process.pid, r._directory, p._directory, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout as said:
        pid_of_redis, pid_of_postgres, *directories = said.readline().split()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until_gone(int(pid_of_redis))
    wait_until_gone(int(pid_of_postgres))
    for directory in directories:
        subprocess.run(["rm", "-rf", directory], check=True)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} outlived its owner"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_django_was_given_these_servers(settings, redis_server, postgres_server):
    """Under xdist too, where a process inherits its parent's environment."""
    assert redis_server.url == settings.REDIS_URL
    if settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        assert settings.DATABASES["default"]["PORT"] == postgres_server.port
    else:
        assert os.environ["AGENTSITE_TEST_DATABASE"] == "sqlite"


@pytest.mark.sqlite
@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for():
    from django.db import connection

    vendor = "sqlite" if os.environ.get("AGENTSITE_TEST_DATABASE") == "sqlite" else "postgresql"
    assert connection.vendor == vendor


@pytest.mark.sqlite
@pytest.mark.django_db
def test_sqlite_is_a_file_with_a_write_ahead_log():
    from django.db import connection

    if connection.vendor != "sqlite":
        pytest.skip("this is about SQLite")
    with connection.cursor() as cursor:
        assert cursor.execute("PRAGMA journal_mode").fetchone() == ("wal",)
