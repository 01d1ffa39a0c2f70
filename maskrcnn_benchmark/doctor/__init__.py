"""Checks of a machine and a configuration before a training: what is missing or would be wrong, and what mends it."""
