"""What was found in a file of predictions and what was done about it, counted."""

from __future__ import annotations

from collections.abc import Sequence


class Notes:
    """Counts what is unusual, and remembers the first image where it was seen."""

    def __init__(self) -> None:
        self._counts: dict[str, list] = {}
        self._said: list[str] = []

    def count(self, what: str, number: int, image: str) -> None:
        """Count `number` things in an image; nothing for 0."""
        if number:
            entry = self._counts.setdefault(what, [0, 0, image])
            entry[0] += int(number)
            entry[1] += 1

    def say(self, *sentences: str) -> None:
        """Note something once."""
        self._said += [one for one in sentences if one not in self._said]

    def lines(self) -> Sequence[str]:
        """A sentence for each."""
        counted = [
            f"{what}: {number:,} in {images:,} images, the first is {image}"
            for what, (number, images, image) in self._counts.items()
        ]
        return [*self._said, *counted]
