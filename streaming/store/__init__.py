"""Where a log is stored: the database, which is the truth, and the Redis stream, which is the live tail."""
