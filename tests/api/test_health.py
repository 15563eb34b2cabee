"""/healthz, /readyz, /metrics"""

from __future__ import annotations

import json

import pytest
import redis
from django.conf import settings

from agents.data_directory import MARKER_FILE
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
