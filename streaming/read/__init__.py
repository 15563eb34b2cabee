"""Read a log: replay what is stored, then follow what is published, for any number of subscribers."""
