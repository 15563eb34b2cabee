"""Django's settings, from `agentsite.environment`. Names that are ours are listed there, with units."""

from __future__ import annotations

import logging
import logging.config
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import dj_database_url
import structlog
from corsheaders.defaults import default_headers
from redis.connection import parse_url

from agentsite.data_directory import DATABASE, close_file, open_data_directory
from agentsite.environment import UP_PID, describe_unknown_variables, load_environment
from agentsite.security import RefusedInOneLine
from containers.gateway.destinations import patterns

ENVIRONMENT = load_environment()
BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = ENVIRONMENT.directory()
with suppress(OSError):  # a process that needs nothing of it works without: collectstatic, for one
    open_data_directory(DATA_DIR)
LOCAL_DIR = ENVIRONMENT.local_directory()

SECRET_KEY = ENVIRONMENT.secret()
DEBUG = ENVIRONMENT.debug
ALLOWED_HOSTS = ENVIRONMENT.hosts()
CSRF_TRUSTED_ORIGINS = [origin.strip() for origin in ENVIRONMENT.csrf_trusted_origins.split(",") if origin.strip()]
TRUSTED_PROXIES = ENVIRONMENT.proxies()
LOGIN_FAILURES_PER_ACCOUNT = ENVIRONMENT.login_failures_per_account
LOGIN_FAILURES_PER_ADDRESS = ENVIRONMENT.login_failures_per_address
LOGIN_WINDOW_S = ENVIRONMENT.login_window_s
TOKEN_FAILURES_PER_ADDRESS = ENVIRONMENT.token_failures_per_address
TOKEN_WINDOW_S = ENVIRONMENT.token_window_s
CORS_ALLOWED_ORIGINS = [origin for origin in ENVIRONMENT.cors_origins.split(",") if origin]
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = (*default_headers, "idempotency-key", "last-event-id")
CORS_EXPOSE_HEADERS = ("location", "retry-after")
SECURE_TLS = any(origin.startswith("https://") for origin in CSRF_TRUSTED_ORIGINS)

INSTALLED_APPS = [
    "daphne",
    "agents",  # before the admin, whose base template it extends
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "corsheaders",
    "django_eventstream",
    "streaming",
    "agentsite",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "agentsite.security.content_security_policy",
    "agents.pages.login.TooManyFailuresPage",
]
ROOT_URLCONF = "agentsite.urls"
ASGI_APPLICATION = "agentsite.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "agentsite.login_command.context",
            ]
        },
    }
]

DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(
        ENVIRONMENT.database_url or f"sqlite:///{DATA_DIR / DATABASE}",
        conn_health_checks=True,
    )
}
# How long a write waits for another process's transaction. A process that stands still (SIGSTOP, a debugger) in the
# middle of one keeps everybody from writing; measured: 36 of 160 stops of a busy worker fell into one. Nothing
# but its going on ends that, and a cancel that is refused meanwhile is lost: so it is waited for longer than a lease.
SQLITE_BUSY_S = 2 * ENVIRONMENT.lease_s
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # SQLite gives its journals the permissions of the database, which it would make by the umask alone.
    with suppress(OSError):
        Path(DATABASES["default"]["NAME"]).touch(mode=0o600)
        close_file(Path(DATABASES["default"]["NAME"]))
    pragmas = f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout={round(SQLITE_BUSY_S * 1000)};"
    # IMMEDIATE: a transaction that reads and then writes would else fail at once with "database is locked".
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": SQLITE_BUSY_S,
        "init_command": pragmas,
    }
else:
    # Each yields to the same parameter in the URL. A stopped worker may hold a log's row in an open transaction: the
    # server ends that before the lease has run out, else nobody could take over. A server that has gone without a word
    # is noticed by TCP.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 5,
        "tcp_user_timeout": 10_000,
        "keepalives_idle": 10,
        "options": f"-c idle_in_transaction_session_timeout={round(ENVIRONMENT.lease_s * 1000 / 2)}",
        **DATABASES["default"].get("OPTIONS", {}),
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# The second is the one that sessions name and that logs in; the first only refuses those that have failed too often.
AUTHENTICATION_BACKENDS = ["agents.pages.login.PasswordThrottle", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_TLS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_TLS else None
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_HSTS_SECONDS = ENVIRONMENT.hsts_s if SECURE_TLS else 0
# TLS ends at a proxy, and so do redirects to it: docs/deploying.md. HSTS may be off, and is without TLS.
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W005", "security.W008", "security.W021"]
MONITORING_TOKEN = ENVIRONMENT.monitoring_token

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_FINDERS = ["agentsite.static.SmallerFinder", "agentsite.static.SmallerDirectoriesFinder"]
STATICFILES_DIRS = [("agents/client", BASE_DIR / "clients" / "js" / "src")]
# Without a collectstatic step (make run, tests) whitenoise serves straight from the apps' folders.
WHITENOISE_USE_FINDERS = not STATIC_ROOT.exists()
warnings.filterwarnings("ignore", message="No directory at", module="django.core.handlers.base")
WHITENOISE_AUTOREFRESH = DEBUG

REDIS_URL = ENVIRONMENT.redis_url or "redis://127.0.0.1:6379/0"
CELERY_BROKER_URL = ENVIRONMENT.broker_url or REDIS_URL
# No read timeout: django-eventstream's listener would stop for good after five silent seconds (redis-py 8's default).
EVENTSTREAM_REDIS = {**parse_url(REDIS_URL), "socket_timeout": None}  # type: ignore[no-untyped-call]  # redis does not annotate it
EVENTSTREAM_CHANNELMANAGER_CLASS = "agents.asgi.feed.FeedGate"

# SecretStr: nothing that prints a setting shows a key. Read by agents.gateway.providers.keys alone.
PROVIDER_KEYS = {
    "openai": ENVIRONMENT.openai_api_key,
    "anthropic": ENVIRONMENT.anthropic_api_key,
    "gemini": ENVIRONMENT.gemini_api_key,
}
OPENAI_BASE_URL = ENVIRONMENT.openai_base_url
ANTHROPIC_BASE_URL = ENVIRONMENT.anthropic_base_url
GEMINI_BASE_URL = ENVIRONMENT.gemini_base_url
OLLAMA_BASE_URL = ENVIRONMENT.ollama_base_url

ENGINE = ENVIRONMENT.engine
IMAGE_PULL = ENVIRONMENT.image_pull
DOCKER_HOST = ENVIRONMENT.docker_host
PODMAN_HOST = ENVIRONMENT.podman_address()
DATA_VOLUME = ENVIRONMENT.data_volume
DEFINITIONS_FILE = ENVIRONMENT.definitions_file.expanduser().absolute()
WORKSPACES_DIR = DATA_DIR / "workspaces"
HISTORY_DIR = DATA_DIR / "history"
WORKER_CONCURRENCY = ENVIRONMENT.worker_concurrency
DB_THREADS = ENVIRONMENT.db_threads
LEASE_S = ENVIRONMENT.lease_s
HOST_ID = ENVIRONMENT.host_id
HOST_LOST_S = ENVIRONMENT.host_lost_s
LEASE_HEARTBEAT_S = ENVIRONMENT.lease_heartbeat_s
REAPER_INTERVAL_S = ENVIRONMENT.reaper_interval_s
ORPHAN_GRACE_S = ENVIRONMENT.orphan_grace_s
WORKSPACE_GRACE_H = ENVIRONMENT.workspace_grace_h
RETENTION_DAYS = ENVIRONMENT.retention_days
INTENT_POLL_S = ENVIRONMENT.intent_poll_s
RUN_TIME_LIMIT_S = ENVIRONMENT.run_time_limit_s
DEFINITION_CEILINGS = ENVIRONMENT.ceilings()
BUDGET_AGENT = ENVIRONMENT.budget("agent")
BUDGET_USER_DAY = ENVIRONMENT.budget("user_day")
STOP_GRACE_S = ENVIRONMENT.stop_grace_s
COMMIT_INTERVAL_S = ENVIRONMENT.commit_interval_s
COMMIT_EVENTS = ENVIRONMENT.commit_events
PENDING_BYTES = ENVIRONMENT.pending_bytes
STREAM_MAXLEN = ENVIRONMENT.stream_maxlen
STREAM_TTL_S = ENVIRONMENT.stream_ttl_s
STREAM_HEARTBEAT_S = ENVIRONMENT.stream_heartbeat_s
STREAM_QUEUE_EVENTS = ENVIRONMENT.stream_queue_events
STREAM_QUEUE_BYTES = ENVIRONMENT.stream_queue_bytes
STREAM_SEND_TIMEOUT_S = ENVIRONMENT.stream_send_timeout_s
STREAM_WRITE_BYTES = ENVIRONMENT.stream_write_bytes
WEBSOCKET_AGENTS = ENVIRONMENT.websocket_agents
WEBSOCKET_AUTHENTICATE_S = ENVIRONMENT.websocket_authenticate_s
TICKET_CONNECT_S = ENVIRONMENT.ticket_connect_s
TICKET_TTL_H = ENVIRONMENT.ticket_ttl_h
ACCESS_CHECK_S = ENVIRONMENT.access_check_s
TIP_POLL_S = ENVIRONMENT.tip_poll_s
UPLOAD_MAX_BYTES = ENVIRONMENT.upload_max_bytes
MIN_FREE_MIB = ENVIRONMENT.min_free_mib
IMPORT_MAX_BYTES = ENVIRONMENT.import_max_bytes
INPUT_MAX_BYTES = ENVIRONMENT.input_max_bytes
QUEUE_MAX_RUNS = ENVIRONMENT.queue_max_runs
WORKSPACE_SCAN_FILES = ENVIRONMENT.workspace_scan_files
HISTORY_FILE_KIB = ENVIRONMENT.history_file_kib
HISTORY_FILES = ENVIRONMENT.history_files
HISTORY_MIB = ENVIRONMENT.history_mib
HASH_MAX_BYTES = ENVIRONMENT.hash_max_bytes
EGRESS = patterns(ENVIRONMENT.egress)

LOGGING_CONFIG = None
LOG_LEVEL = ENVIRONMENT.log_level.upper()
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processor": structlog.processors.JSONRenderer()
            if ENVIRONMENT.log_format == "json"
            else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
            "foreign_pre_chain": [
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            ],
        }
    },
    "filters": {"refused": {"()": RefusedInOneLine}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["refused"]}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.template": {"level": "INFO"},  # below that: a traceback for every variable that a page does without
        "daphne": {"level": "WARNING"},
        "aiodocker": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "django_eventstream": {"level": "WARNING"},
    },
}


def _configure_logging() -> None:
    logging.config.dictConfig(LOGGING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


_configure_logging()


def _warn() -> None:
    """Once a site: `up` does it for the processes that it starts."""
    if os.environ.get(UP_PID) == str(os.getppid()):
        return
    for line in describe_unknown_variables():
        logging.getLogger("agentsite").warning(line)
    if SECURE_TLS and not TRUSTED_PROXIES:
        logging.getLogger("agentsite").warning(
            "AGENTSITE_TRUSTED_PROXIES does not name the proxy where TLS ends: all clients count as one address"
        )


_warn()
