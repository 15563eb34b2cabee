"""The HTTP API: django-ninja, JSON in and out, OpenAPI at /api/openapi.json and /api/docs.

site            the NinjaAPI object with every route; urls: where it is mounted, and JSON for what is not there
auth            bearer token, or login session with CSRF
agents.http     schemas, posted runs and error answers, shared with event streams and WebSockets
agents, runs, events, files, definitions, execute, archive, health    one noun each
docs            the browsable page, from assets of our own
"""
