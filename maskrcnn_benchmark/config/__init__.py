"""The configuration that the whole program shares."""

from .defaults import _C as cfg

__all__ = ["cfg"]
