"""All rows, in the order of the table."""

from __future__ import annotations

from tests.faults import (
    rows_broker,
    rows_cancel,
    rows_clock,
    rows_container,
    rows_database,
    rows_redis,
    rows_web,
    rows_worker,
)
from tests.faults.row import Row

ROWS: list[Row] = [
    *rows_worker.ROWS,
    *rows_redis.ROWS,
    *rows_database.ROWS,
    *rows_web.ROWS,
    *rows_container.ROWS,
    *rows_cancel.ROWS,
    *rows_broker.ROWS,
    *rows_clock.ROWS,
]
