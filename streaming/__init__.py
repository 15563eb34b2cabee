"""The log: event types, fold, bus, journal, writer, hub, and the SSE application.

Knows an agent only by its id. The write side (`writer`) and the read side (`hub`, `sse`) meet only in the log.
"""
