"""Gives the names of other people's files the numbers of a test set."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

BACKGROUND = ("__background__", "__background", "background", "no_relation", "no relation")
UNKNOWN = -1  # the number of a name that the test set lacks; it matches nothing


def plain(name: str) -> str:
    """A name without what is a matter of taste: case, underscores, spaces at its ends.

    >>> plain("Traffic_light ")
    'traffic light'
    """
    return " ".join(name.replace("_", " ").split()).lower()


class Numbering(dict[str, int]):
    """Numbers by name: 0 for the background, `UNKNOWN` for what the test set lacks; remembers what was not known.

    Args:
        names: of the test set, background first.
        what: `class` or `predicate`, for the notes.
    """

    def __init__(self, names: Sequence[str], what: str):
        super().__init__({name: i for i, name in enumerate(names)})
        self.names, self.what = list(names), what
        self._plain = {plain(name): i for i, name in enumerate(names) if i}
        self.unknown: Counter[str] = Counter()
        self.respelt: dict[str, str] = {}

    def __missing__(self, name: str) -> int:
        """The number of a name that is not spelt as in the test set."""
        if name in BACKGROUND:
            self[name] = 0
        elif (number := self._plain.get(plain(name))) is not None:
            self[name], self.respelt[name] = number, self.names[number]
        else:
            self.unknown[name] += 1
            return UNKNOWN
        return self[name]

    def notes(self) -> list[str]:
        """What was respelt and what was not known, a sentence each."""
        notes = [f"the {self.what} {given!r} was taken for {known!r}" for given, known in sorted(self.respelt.items())]
        for name, count in self.unknown.most_common():
            near = difflib.get_close_matches(name, self.names[1:], n=1)
            notes.append(
                f"the test set has no {self.what} {name!r} ({count} times; it matches nothing)"
                + (f"; the nearest that it has is {near[0]!r}" if near else "")
            )
        return notes
