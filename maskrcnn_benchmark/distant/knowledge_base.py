"""Which predicates a subject class and an object class may stand in, and how often they were said to.

A knowledge base is a json object {"subject_object": predicates}. Classes and predicates are names or indices of the
data set's dictionary; predicates are a list, or an object with a count or a probability each:

    {"man_horse": ["riding", "on"]}    {"man_horse": {"riding": 12, "on": 3}}    {"78_62": [38, 31]}
"""

from __future__ import annotations

import difflib
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from maskrcnn_benchmark.data.datasets.vg_format import ranges
from maskrcnn_benchmark.utils import json_schemas
from maskrcnn_benchmark.utils.errors import InputError
from maskrcnn_benchmark.utils.files import atomic_write
from maskrcnn_benchmark.utils.json_files import read_json

_LISTED = 20  # unknown names in one message


@dataclass(frozen=True)
class KnowledgeBase:
    """P class pairs with C candidate predicates in all.

    Attributes:
        pairs: (subject class, object class) without repetition, sorted, int64 [P, 2].
        num_candidates: of each pair, above 0, int64 [P].
        predicates: of one pair after the other, the most frequent first, int64 [C].
        counts: how often each was said, or its probability; positive, float64 [C].
    """

    pairs: np.ndarray
    num_candidates: np.ndarray
    predicates: np.ndarray
    counts: np.ndarray

    def candidates(self, subjects: np.ndarray, objects: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Look up the pairs of classes `subjects`, `objects`, int [n] each.

        Returns:
            how many candidates each has, int64 [n], 0 where the base does not know it; and their places in
            `predicates` and `counts`, one pair after the other, int64 [sum].
        """
        if not len(self.pairs):
            return np.zeros(len(subjects), dtype=np.int64), np.zeros(0, dtype=np.int64)
        width = 1 + max(self.pairs.max(), np.max(objects, initial=0))
        known = self.pairs[:, 0] * width + self.pairs[:, 1]  # sorted as the pairs are
        asked = np.asarray(subjects, dtype=np.int64) * width + objects
        place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
        found = np.where(known[place] == asked, self.num_candidates[place], 0)
        first = np.cumsum(self.num_candidates) - self.num_candidates
        return found, ranges(first[place], found)


def read_knowledge_base(
    path: str | os.PathLike, classes: Sequence[str], predicates: Sequence[str], skip_unknown: bool = False
) -> KnowledgeBase:
    """Read a knowledge base.

    Args:
        classes, predicates: names in the order of their indices, background first.
        skip_unknown: leave out what the dictionary does not know, instead of refusing the file.

    Raises:
        InputError: the file is missing, no json, or not of the format; names that the dictionary does not know (with
            the nearest that it does); nothing left.
    """
    content = read_json(path, json_schemas.KnowledgeBase, "knowledge base")
    class_names, predicate_names = _Names(classes), _Names(predicates)
    unknown: dict[str, str] = {}
    found: dict[tuple[int, int], dict[int, float]] = {}
    for key, value in content.items():
        pair = _class_pair(key, class_names, path)
        if pair is None:
            unknown[key] = f"the pair {key!r}{_unknown_classes(key, class_names)}"
            continue
        of_pair = found.setdefault(pair, {})
        for name, count in _counts(value):
            predicate = predicate_names.index(name)
            if predicate is None:
                unknown[name] = f"the predicate {name!r}{predicate_names.nearest(name)}"
            elif count > 0:
                of_pair[predicate] = of_pair.get(predicate, 0.0) + count
    if unknown and not skip_unknown:
        shown = ", ".join(list(unknown.values())[:_LISTED])
        more = f", and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise InputError(
            f"knowledge base {path} has {len(unknown)} names that the dictionary lacks: {shown}{more}; "
            "mend them, or leave them out with --skip-unknown"
        )
    found = {pair: counts for pair, counts in found.items() if counts}
    if not found:
        raise InputError(f"knowledge base {path} has no predicate for any pair of classes of the dictionary")
    return _arrays(found)


def _arrays(found: Mapping[tuple[int, int], Mapping[int, float]]) -> KnowledgeBase:
    pairs = sorted(found)
    ordered = [sorted(found[pair].items(), key=lambda item: (-item[1], item[0])) for pair in pairs]
    return KnowledgeBase(
        pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        num_candidates=np.array([len(items) for items in ordered], dtype=np.int64),
        predicates=np.array([predicate for items in ordered for predicate, _ in items], dtype=np.int64),
        counts=np.array([count for items in ordered for _, count in items], dtype=np.float64),
    )


class _Names:
    """Names of classes or predicates by index, however they are spelt: `traffic_light` is `traffic light`."""

    def __init__(self, names: Sequence[str]):
        self.names = {spell(name): i for i, name in enumerate(names) if i}
        self.count = len(names)

    def index(self, name: str | int) -> int | None:
        """The index that a name, or an index as number or text, stands for; None for what is not there."""
        if isinstance(name, str) and spell(name) in self.names:
            return self.names[spell(name)]
        number = int(name) if isinstance(name, int) or (name.isdecimal() and len(name) < 19) else 0
        return number if 1 <= number < self.count else None

    def nearest(self, name: str | int) -> str:
        """What to say of an unknown name."""
        if isinstance(name, int) or name.isdecimal():
            return f" (indices are 1 to {self.count - 1})"
        near = difflib.get_close_matches(spell(name), self.names, n=1)
        return f" (nearest: {near[0]})" if near else ""


def spell(name: str) -> str:
    """A name in small letters, words parted by single spaces."""
    return " ".join(name.replace("_", " ").lower().split())


def _splits(key: str) -> list[tuple[str, str]]:
    """All ways to read a key as subject and object; names may hold underscores themselves.

    >>> _splits("man_traffic_light")
    [('man', 'traffic_light'), ('man_traffic', 'light')]
    """
    words = key.split("_")
    return [("_".join(words[:i]), "_".join(words[i:])) for i in range(1, len(words))]


def _class_pair(key: str, names: _Names, path) -> tuple[int, int] | None:
    """The classes that a key stands for; None where they are not known."""
    splits = _splits(key)
    if not splits:
        raise InputError(f'knowledge base {path}: the key {key!r} must be "subject_object", by names or by indices')
    readings = {
        (subject, object_): (names.index(subject), names.index(object_))
        for subject, object_ in splits
        if names.index(subject) is not None and names.index(object_) is not None
    }
    if len(set(readings.values())) > 1:
        shown = " or ".join(f"{subject!r} and {object_!r}" for subject, object_ in readings)
        raise InputError(f"knowledge base {path}: the key {key!r} may mean {shown}; give indices instead")
    return next(iter(readings.values()), None)  # type: ignore[return-value]


def _unknown_classes(key: str, names: _Names) -> str:
    """The unknown side of a key with the nearest name, by the reading that leaves least unknown."""
    best = min(_splits(key), key=lambda split: sum(names.index(name) is None for name in split))
    return "".join(f": {name!r}{names.nearest(name)}" for name in best if names.index(name) is None)


def _counts(value: list | dict) -> Iterable[tuple[str | int, float]]:
    """(predicate, count) of a pair as the file gives them; a list counts how often each stands in it."""
    return (Counter(value) if isinstance(value, list) else value).items()


def count_triplets(triplets: Iterable[tuple[str, str, str]], least: int = 2) -> dict[str, dict[str, int]]:
    """The knowledge base that triplets make.

    Args:
        triplets: (subject, predicate, object) by name, repeated as often as said.
        least: rarer triplets are left out.

    Returns:
        {"man_horse": {"riding": 12, "on": 3}, ...}, sorted by name, then by count.
    """
    base: dict[str, dict[str, int]] = {}
    counts = sorted(Counter(triplets).items(), key=lambda item: (item[0][0], item[0][2], -item[1]))
    for (subject, predicate, object_), count in counts:
        if count >= least:
            base.setdefault(f"{subject}_{object_}", {})[predicate] = count
    return base


def write_knowledge_base(path: str | os.PathLike, base: Mapping[str, Mapping[str, int]]) -> None:
    """Write a knowledge base as json."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(base, indent=1) + "\n", encoding="utf-8")
