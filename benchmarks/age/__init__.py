"""What an old agent costs. `make bench-age`; docs/benchmarks.md has results.

    snapshot    how large the state of an agent is that made 12,000 tool calls of 4 KB
    join        stream and page of an agent with 1,000,000 events, against those of one with 1,000
    database    what the tables of the log take on disk, against the JSON of its events
    memory      how worker and web process grow while runs go on without a pause
    typing      the page with a conversation of heavy parts: tasks of its load, nodes, key → paint while it streams
    runs        page and timeline of a run with 20,000 tool calls

One module a part, each with `measure`. Real processes, a real PostgreSQL and Redis, and Chromium (`site`). `logs`
writes long logs as a worker would have, `corpus` makes what they say, `program` says the same in real runs.
"""
