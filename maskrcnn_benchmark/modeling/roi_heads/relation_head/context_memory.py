"""The context of an image's objects, computed once while its pairs are looked at in several calls."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar

_found: ContextVar[dict | None] = ContextVar("contexts found so far", default=None)


@contextlib.contextmanager
def contexts_remembered() -> Iterator[None]:
    """Within it, in this thread, a context (`depends_on_objects_only`) is computed once for the same objects."""
    token = _found.set({})
    try:
        yield
    finally:
        _found.reset(token)


def depends_on_objects_only(forward: Callable) -> Callable:
    """Decorates the `forward` of a context layer whose answer does not depend on which pairs are asked for.

    The method takes features and proposals first, and all that changes its answer otherwise by name.
    """

    @functools.wraps(forward)
    def once(self, x, proposals, *pairs_and_logger, **options):
        found = _found.get()
        if found is None:
            return forward(self, x, proposals, *pairs_and_logger, **options)
        # the proposals outlive the search, so their identities tell them apart
        key = (id(self), *map(id, proposals), *sorted(options.items()))
        if key not in found:
            found[key] = forward(self, x, proposals, *pairs_and_logger, **options)
        return found[key]

    return once
