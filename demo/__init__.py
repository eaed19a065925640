"""`make demo`: everything on loopback, three real jobs, a table of how they ended."""
