"""Raw ASGI applications around Django: who may open a stream, a WebSocket or the feed, and limits on requests."""
