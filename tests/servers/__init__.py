"""The tests' own Redis and PostgreSQL: real servers, on free ports, gone when the tests are gone.

`RedisServer` and `PostgresServer` know nothing of pytest, so benchmarks and fault scripts use them too.
"""

from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerFailed, ServerNotFound
from tests.servers.redis import RedisServer

__all__ = ["PostgresServer", "RedisServer", "ServerFailed", "ServerNotFound"]
