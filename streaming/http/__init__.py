"""Serve logs over HTTP: server-sent events, WebSockets, other protocols' dialects, and limits on requests."""
