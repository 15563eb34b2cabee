"""The Agent Client Protocol: an agent to talk to, and what comes of it."""
