"""/healthz, /readyz, /metrics"""

from __future__ import annotations

import json
import uuid

import pytest
import redis
from django.conf import settings
from django.test import Client
from pydantic import SecretStr

from agents.fleet.data_directory import MARKER_FILE
from tests.api.conftest import ApiClient, on_postgres, problem


@pytest.fixture
def worker():
    presence = {"worker": "w", "engine": "docker", "active": 3, "concurrency": 100}
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.set("agentsite:worker:w", json.dumps(presence), ex=30)
        yield
        client.delete("agentsite:worker:w")


def test_healthz_says_that_the_process_lives(db):
    assert ApiClient().call("GET", "/healthz") == (200, {"status": "ok"})
    assert ApiClient().send("HEAD", "/healthz").status_code == 200


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/api/docs", "/api/openapi.json", "/api/docs/swagger-ui.css"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_only_reads_takes_nothing_else_and_asks_for_no_csrf_token(method, path):
    client = ApiClient()
    client.django.handler.enforce_csrf_checks = True
    response = client.send(method, path)
    assert problem((response.status_code, response.json())) == (405, "method-not-allowed")
    assert response["Allow"] == "GET, HEAD"


def test_readyz_names_each_dependency(transactional_db, worker):
    status, body = ApiClient().call("GET", "/readyz")
    assert status == 200
    assert body == {
        "status": "ok",
        "checks": {
            "database": {"ok": True},
            "redis": {"ok": True},
            "data_dir": {"ok": True},
            "workers": {"ok": True, "count": 1, "active": 3},
            "engine": {"ok": True, "engines": ["docker"]},
        },
    }


def test_readyz_without_a_worker_is_degraded(transactional_db, healthy_redis):
    status, body = ApiClient().call("GET", "/readyz")
    assert (status, body["status"], body["checks"]["workers"]["ok"]) == (200, "degraded", False)


def test_readyz_with_another_data_directory_is_unavailable(transactional_db, worker, settings, tmp_path):
    assert ApiClient().call("GET", "/readyz")[0] == 200
    settings.DATA_DIR = tmp_path
    status, body = ApiClient().call("GET", "/readyz")
    assert (status, body["checks"]["data_dir"]) == (503, {"ok": False, "error": "WrongDataDirectory"})
    assert not (tmp_path / MARKER_FILE).exists()


@pytest.mark.faults
def test_readyz_without_redis_is_unavailable(transactional_db, healthy_redis):
    healthy_redis.stop()
    response = ApiClient().send("GET", "/readyz")
    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    checks = response.json()["checks"]
    assert (checks["redis"]["ok"], checks["database"]["ok"]) == (False, True)
    assert str(healthy_redis.port) not in response.content.decode()


@on_postgres
def test_readyz_without_the_database_is_unavailable(database_away):
    response = ApiClient().send("GET", "/readyz")
    assert response.status_code == 503
    assert response.json()["checks"]["database"]["ok"] is False
    assert 'agentsite_up{dependency="database"} 0' in ApiClient().send("GET", "/metrics").content.decode()


def test_metrics_are_prometheus_text(api, agent_id, worker):
    api.call("POST", f"/api/agents/{agent_id}/runs", {"input": "x"})
    response = ApiClient().send("GET", "/metrics")
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = response.content.decode().splitlines()
    for line in (
        'agentsite_up{dependency="redis"} 1',
        'agentsite_open_runs{status="queued"} 1',
        'agentsite_open_runs{status="running"} 0',
        "agentsite_workers 1",
        "agentsite_worker_slots 100",
    ):
        assert line in lines


# Who may ask -------------------------------------------------------------------------------------------------------


def test_numbers_are_for_everybody_unless_a_token_is_set(transactional_db, settings):
    def ask(path: str, token: str | None = None) -> tuple[int, str | None]:
        response = ApiClient(token).send("GET", path)
        return response.status_code, response.headers.get("WWW-Authenticate")

    assert [ask(path)[0] for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    settings.MONITORING_TOKEN = SecretStr("a token for Prometheus")
    assert [ask(path) for path in ("/readyz", "/metrics")] == [(401, "Bearer")] * 2
    assert [ask(path, "another") for path in ("/readyz", "/metrics")] == [(401, "Bearer")] * 2
    assert [ask(path, "a token for Prometheus")[0] for path in ("/readyz", "/metrics")] == [200, 200]
    assert ask("/healthz")[0] == 200


def test_token_for_numbers_can_not_be_guessed(transactional_db, settings):
    settings.MONITORING_TOKEN = SecretStr("a token for Prometheus")
    settings.TOKEN_FAILURES_PER_ADDRESS = 2
    client = ApiClient("wrong")
    client.django.defaults["REMOTE_ADDR"] = f"2001:db8:{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}::1"
    assert [client.send("GET", "/metrics").status_code for _ in range(3)] == [401, 401, 429]
    client.headers = {"Authorization": "Bearer a token for Prometheus"}
    refused = client.send("GET", "/metrics")
    assert problem((refused.status_code, refused.json())) == (429, "too-many-failures")
    assert int(refused["Retry-After"]) > 0


# What browsers are told --------------------------------------------------------------------------------------------


def test_hsts_is_sent_over_tls(db, settings):
    settings.SECURE_HSTS_SECONDS = 31_536_000  # what settings.py has when there is an https origin
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    over_tls = Client().get("/login/", headers={"x-forwarded-proto": "https"})
    assert over_tls["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in Client().get("/login/").headers
