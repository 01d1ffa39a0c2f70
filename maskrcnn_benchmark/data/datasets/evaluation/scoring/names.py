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


class Numbering:
    """Numbers of names, background being 0; remembers what was not known.

    Args:
        names: of the test set, background first.
        what: `class` or `predicate`, for the notes.
    """

    def __init__(self, names: Sequence[str], what: str):
        self.names, self.what = list(names), what
        self._number = {name: i for i, name in enumerate(names)}
        self._plain = {plain(name): i for i, name in enumerate(names) if i}
        self.unknown: Counter[str] = Counter()
        self.respelt: dict[str, str] = {}

    def __call__(self, name: str) -> int:
        """The number of a name: 0 for the background, `UNKNOWN` where the test set lacks it."""
        number = self._number.get(name)
        if number is None or number == UNKNOWN:
            number = self._learn(name)
        return number

    def _learn(self, name: str) -> int:
        """The number of a name that is not spelt as in the test set."""
        number = 0 if name in BACKGROUND else self._plain.get(plain(name), UNKNOWN)
        if number == UNKNOWN:
            self.unknown[name] += 1
        elif number:
            self.respelt[name] = self.names[number]
        self._number[name] = number
        return number

    def notes(self) -> list[str]:
        """What was respelt and what was not known, a sentence each."""
        notes = [
            f"the {self.what} {given!r} was taken for {known!r}" for given, known in sorted(self.respelt.items())
        ]
        for name, count in self.unknown.most_common():
            near = difflib.get_close_matches(name, self.names[1:], n=1)
            notes.append(
                f"the test set has no {self.what} {name!r} ({count} times; it matches nothing)"
                + (f"; the nearest that it has is {near[0]!r}" if near else "")
            )
        return notes
