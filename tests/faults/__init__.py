"""Injected faults against real processes: Redis, PostgreSQL, daphne, Celery workers, beat, containers.

    Row (which fault) ─► Scene (one injection) ─► Cast (agents at work, each with subscribers) ─► what must hold
                           Stack (the processes)     workload.py says numbers; every one must come once, in order

`python -m tests.faults` runs the rows and prints a table; docs/faults.md holds the last long one. test_quick.py is the
short set of `make test`. Nothing here asserts on the product's inside: only HTTP, the database's rows, signals.
"""
