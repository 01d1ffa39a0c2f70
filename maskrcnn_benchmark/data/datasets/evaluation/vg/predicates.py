"""Groups of predicates for which a recall of their own is given: frequent and rare, base and novel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from maskrcnn_benchmark.utils.errors import InputError

# The 15 predicates of VG-150 that OvSGTR (Chen et al., ECCV 2024, arXiv:2311.10988) keeps from training ...
OVSGTR_NOVEL = (
    "attached to", "belonging to", "eating", "for", "in", "of", "on", "painted on", "part of", "playing", "riding",
    "says", "walking in", "walking on", "wears",
)  # fmt: skip
# ... and all 50, in the order of the alphabet, which is that of VG-150's dictionary.
VG150 = tuple(sorted((
    *OVSGTR_NOVEL, "above", "across", "against", "along", "and", "at", "behind", "between", "carrying", "covered in",
    "covering", "flying in", "from", "growing on", "hanging from", "has", "holding", "in front of", "laying on",
    "looking at", "lying on", "made of", "mounted on", "near", "on back of", "over", "parked on", "sitting on",
    "standing on", "to", "under", "using", "watching", "wearing", "with",
)))  # fmt: skip
NOVEL_LISTS = {"ovsgtr": OVSGTR_NOVEL}
GROUPS = ("head", "body", "tail")
_HEAD, _BODY = 10_000, 500  # training relations of VG-150, as PySGG has them (Li et al., BGNN, CVPR 2021)


class PredicateGroups(NamedTuple):
    """Predicates by how often training shows them.

    Attributes:
        rule: how they were told apart, in words.
        groups: the names in `head`, `body` and `tail`.
    """

    rule: str
    groups: dict[str, list[str]]


def frequency_groups(frequency: Mapping[str, float]) -> PredicateGroups:
    """Predicates in three groups: for those of VG-150 by fixed limits, else by thirds of their number.

    Args:
        frequency: how often each predicate occurs in training.

    >>> frequency_groups({"on": 9, "has": 7, "under": 1}).groups
    {'head': ['on'], 'body': ['has'], 'tail': ['under']}
    """
    order = sorted(frequency, key=lambda name: (-frequency[name], name))
    if tuple(sorted(frequency)) == VG150:
        limits = [name for name in order if frequency[name] > _HEAD], [n for n in order if frequency[n] >= _BODY]
        parts = [order[: len(limits[0])], order[len(limits[0]) : len(limits[1])], order[len(limits[1]) :]]
        rule = f"VG-150: more than {_HEAD}, {_BODY} to {_HEAD}, and fewer than {_BODY} training relations"
    else:
        parts = [part.tolist() for part in np.array_split(np.array(order, dtype=object), 3)]
        rule = "thirds of the predicates, by their number of training relations"
    return PredicateGroups(rule, dict(zip(GROUPS, parts, strict=True)))


def novel_predicates(names: Sequence[str], predicates: Sequence[str], key: str) -> tuple[str, ...]:
    """The novel predicates that a configuration or an option names; the others are base predicates.

    Args:
        names: predicates, or the name of one of `NOVEL_LISTS` alone.
        predicates: those of the data set, background first.
        key: of the configuration, for the error.

    Raises:
        InputError: a name that the data set lacks, or no base predicate is left.
    """
    if len(names) == 1 and names[0] in NOVEL_LISTS:
        names = NOVEL_LISTS[names[0]]
    for name in names:
        if name not in predicates[1:]:
            raise InputError(
                f"{key} names {name!r}, which the data set lacks; it has {', '.join(predicates[1:])}, and the lists "
                f"{', '.join(NOVEL_LISTS)} can be named"
            )
    if names and set(names) == set(predicates[1:]):
        raise InputError(f"{key} names every predicate of the data set: none is left as a base predicate")
    return tuple(dict.fromkeys(names))


def group_columns(groups: Mapping[str, Sequence[str]], predicates: Sequence[str]) -> dict[str, np.ndarray]:
    """Places of each group's predicates among those without background, int64 [g] by name of the group."""
    place: dict[Any, int] = {name: i for i, name in enumerate(predicates[1:])}
    return {group: np.array([place[name] for name in names], dtype=np.int64) for group, names in groups.items()}
