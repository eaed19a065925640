"""Machines: their configuration, how they start and stop, and how commands reach them."""
