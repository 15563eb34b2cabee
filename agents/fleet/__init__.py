"""The machines and workers of a site, and the data directory that they share."""
