"""Which predicates are synonyms: so alike that the one is no wrong answer where an annotator wrote the other.

The phrases of antonyms (above, below) are as alike as those of synonyms, to any text encoder, so these do not decide
alone: what annotators gave to one and the same pair of boxes does too, or a reviewed list decides.

Shapes: O object classes and R predicates, background included, d width of the embeddings.
"""

from __future__ import annotations

import difflib
import os
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from .errors import LanguageError
from .phrases import spell
from .vocabulary import name_similarity

LISTS = {"vg150": os.path.join(os.path.dirname(os.path.abspath(__file__)), "vg150_synonyms.txt")}  # shipped ones
PAIRS_AT_LEAST = 2  # of boxes that have both names: one is a slip


class Synonyms(NamedTuple):
    """Which predicates are synonyms, and how a log says so."""

    mask: Tensor  # bool [R, R], symmetric; none of itself, none of background
    groups: List[str]


class TogetherCounts(NamedTuple):
    """On how many ordered pairs of boxes annotators gave two predicates, [R, R], and how many chance would make."""

    found: Tensor
    by_chance: Tensor

    def often(self) -> Tensor:
        """Bool [R, R]: more often than once, and than by chance."""
        return (self.found >= PAIRS_AT_LEAST) & (self.found > self.by_chance)


def together(predicate_pairs: Tensor) -> TogetherCounts:
    """What a training set's annotators gave to one and the same pair of boxes.

    By chance: if each predicate kept the number of its pairs that have another one too, and these were drawn anew (the
    null model of modularity: Newman, Modularity and community structure in networks, 2006).

    Args:
        predicate_pairs: int64 [R, R], on how many ordered pairs of boxes the training set has both predicates.
    """
    found = torch.as_tensor(predicate_pairs).double().clone()
    found.fill_diagonal_(0)
    each = found.sum(dim=1)
    return TogetherCounts(found, each[:, None] * each / each.sum().clamp(min=1))


def predicate_similarity(tables: Mapping[str, Tensor]) -> Tensor:
    """How alike predicates are: mean cosine of T[s, p] - mean over p of T[s, p], and of the same about objects.

    Args:
        tables: levels sp and po, [O, R, d].

    Returns:
        [R, R], zero in row and column of background.
    """
    return F.pad(name_similarity(tables, tables), [1, 0, 1, 0])


def judged(
    tables: Mapping[str, Tensor], predicate_pairs: Tensor, predicates: Sequence[str], threshold: float
) -> Synonyms:
    """Predicates whose phrases are alike, and which annotators gave to one and the same pair of boxes.

    Two predicates that the training set shows on one pair can be synonyms, antonyms cannot.

    Args:
        tables: see `predicate_similarity`.
        predicate_pairs: see `together`.
        predicates: names without background.
        threshold: of `predicate_similarity`.
    """
    similarity, counts = predicate_similarity(tables).cpu(), together(predicate_pairs)
    mask = (similarity >= threshold) & counts.often()
    mask.fill_diagonal_(False)
    mask[0] = mask[:, 0] = False
    pairs = [(p, q) for p, q in mask.nonzero().tolist() if p < q]
    pairs.sort(key=lambda pair: -float(similarity[pair]))
    return Synonyms(mask, [f"{predicates[p - 1]}, {predicates[q - 1]}" for p, q in pairs])


def listed(rule: str, predicates: Sequence[str]) -> Synonyms:
    """The synonyms of a list.

    Args:
        rule: a name of `LISTS`, of which names that the data set lacks are left out, or the path of a file.
        predicates: names of the data set, without background.

    Raises:
        LanguageError: as `read_list`, or a file of one's own with a name that the data set lacks.
    """
    path = LISTS.get(rule) or os.path.expanduser(rule)
    number: Dict[str, int] = {_key(name): i for i, name in enumerate(predicates, 1)}
    mask = torch.zeros(len(predicates) + 1, len(predicates) + 1, dtype=torch.bool)
    groups = []
    for line, names in read_list(path):
        for name in names:
            if _key(name) not in number and rule not in LISTS:
                (nearest,) = difflib.get_close_matches(_key(name), number, 1, 0.0)
                raise LanguageError(
                    f"{path}, line {line}: the data set has no predicate {name!r}; the nearest that it has is "
                    f"{predicates[number[nearest] - 1]!r}."
                )
        members = [number[_key(name)] for name in names if _key(name) in number]
        if len(members) > 1:
            index = torch.tensor(members)
            mask[index[:, None], index] = True
            groups.append(", ".join(predicates[i - 1] for i in members))
    mask.fill_diagonal_(False)
    return Synonyms(mask, groups)


def read_list(path: str) -> List[Tuple[int, List[str]]]:
    """The groups of a list of synonyms: one a line, names separated by commas; what follows a # is a comment.

    Returns:
        the number of the line and the names of each group.

    Raises:
        LanguageError: no such file or no text, or a line with a single name, an empty one or one twice.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LanguageError(f"{path} cannot be read as a list of synonyms ({error}).") from error
    groups = []
    for line, text in enumerate(lines, 1):
        text = text.split("#")[0].strip()
        if not text:
            continue
        names = [spell(name) for name in text.split(",")]
        if len(names) < 2 or not all(names) or len({_key(name) for name in names}) < len(names):
            raise LanguageError(
                f"{path}, line {line}: found {text!r}, expected two or more different names separated by commas."
            )
        groups.append((line, names))
    return groups


def _key(name: str) -> str:
    return spell(name).lower()
