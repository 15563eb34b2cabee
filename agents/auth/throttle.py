"""Limits on guessing: wrong passwords by account and address, wrong tokens by address. Synchronous.

Failures are counted in fixed windows in Redis, for all web processes together; while Redis is away each process counts
by itself. An IPv6 client counts by its /64, which is the smallest network that one customer has.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache
from ipaddress import ip_address
from time import monotonic, time
from typing import TypeVar

import structlog
from django.conf import settings
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from agents.errors import TooManyFailures

log = structlog.get_logger(__name__)
REDIS_TIMEOUT_S = 0.5
AWAY_S = 5.0
"""How long Redis is not asked after it has failed: each question would hold a database thread for its timeout."""
BLOCKED_MOST = 10_000
IPV6_PREFIX = 64
T = TypeVar("T")
_redis_back_at = 0.0
_blocked_until: dict[str, float] = {}
"""Addresses that may send no token, on the monotonic clock. Known to this process alone: it makes a good token free of
any cost here, and another process learns of the block by the next wrong token that it gets."""


# Passwords ---------------------------------------------------------------------------------------------------------


def count_login(username: str, address: str) -> None:
    """Count a login before its password is looked at, so that many at once don't pass together. Raises TooManyFailures.

    The address first: one that is blocked can't go on to block accounts.
    """
    for limit, key in _login_limits(username, address):
        if not _hit(limit, key):
            raise TooManyFailures(_wait_s(limit, key))


def forget_login(username: str, address: str) -> None:
    """The password was right: the account begins anew, and the address has back what it was counted."""
    (by_address, address_key), (by_account, account_key) = _login_limits(username, address)
    _ask(lambda limiter: limiter.storage.incr(by_address.key_for(address_key), by_address.get_expiry(), amount=-1))
    _ask(lambda limiter: limiter.clear(by_account, account_key))


def _login_limits(username: str, address: str) -> list[tuple[RateLimitItem, str]]:
    window_s = settings.LOGIN_WINDOW_S
    by_address = RateLimitItemPerSecond(settings.LOGIN_FAILURES_PER_ADDRESS, window_s, "login-address")
    by_account = RateLimitItemPerSecond(settings.LOGIN_FAILURES_PER_ACCOUNT, window_s, "login-account")
    account_key = hashlib.sha256(username.encode("utf-8", "surrogatepass")).hexdigest()
    return [(by_address, _network(address)), (by_account, account_key)]


# Tokens ------------------------------------------------------------------------------------------------------------


def refuse_blocked(address: str) -> None:
    """Raises TooManyFailures for an address that has sent too many wrong tokens."""
    if (until := _blocked_until.get(_network(address))) is not None and (left_s := until - monotonic()) > 0:
        raise TooManyFailures(math.ceil(left_s))


def count_wrong_token(address: str) -> None:
    """Raises TooManyFailures if it is one too many."""
    limit = RateLimitItemPerSecond(settings.TOKEN_FAILURES_PER_ADDRESS, settings.TOKEN_WINDOW_S, "token-address")
    network = _network(address)
    if _hit(limit, network):
        return
    wait_s = _wait_s(limit, network)
    now = monotonic()
    if len(_blocked_until) >= BLOCKED_MOST:
        for known in [known for known, until in _blocked_until.items() if until <= now]:
            del _blocked_until[known]
    if len(_blocked_until) < BLOCKED_MOST:
        _blocked_until[network] = now + wait_s
    raise TooManyFailures(wait_s)


# Counting ----------------------------------------------------------------------------------------------------------


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else f"{parsed.exploded[:19]}::/{IPV6_PREFIX}"


def _hit(limit: RateLimitItem, key: str) -> bool:
    """Count one more; False if it is beyond the limit."""
    return _ask(lambda limiter: limiter.hit(limit, key))


def _wait_s(limit: RateLimitItem, key: str) -> int:
    """Until the window is over."""
    return max(1, math.ceil(_ask(lambda limiter: limiter.get_window_stats(limit, key)).reset_time - time()))


def _ask(question: Callable[[FixedWindowRateLimiter], T]) -> T:
    global _redis_back_at
    if monotonic() >= _redis_back_at:
        try:
            return question(_in_redis(settings.REDIS_URL))
        except (RedisError, OSError) as error:
            _redis_back_at = monotonic() + AWAY_S
            log.warning("failed logins are counted by each process for now", reason=type(error).__name__)
    return question(_in_memory())


@cache
def _in_redis(url: str) -> FixedWindowRateLimiter:
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )
    return FixedWindowRateLimiter(RedisStorage("redis://", connection_pool=pool, key_prefix="agentsite:failures"))


@cache
def _in_memory() -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(MemoryStorage())
