"""The log of one agent, as the domain uses it: the lease, intents, projections, and reads of the live state."""
