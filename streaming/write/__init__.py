"""Write a log: one writer per log, which publishes, commits, and takes over from the writer before it."""
