"""Metrics beside SGB's: a pure function for each, and a class that accumulates it from the ranks of images.

docs/evaluation.md gives the definitions and their sources. Shape letters are those of ranks.py and averages.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .averages import Average, RunningAverage, mean_of_slots
from .protocol import PROTOCOLS, Protocol
from .rank_table import Part, RankTable
from .ranks import hits_at

FREE = {"": "rank", "ng-": "nogc_rank"}  # prefix of a metric's name: the rank that it is of


# -- functions -------------------------------------------------------------------------------------------------------
def f_at_k(recall: np.ndarray, mean_recall: np.ndarray) -> np.ndarray:
    """F@K = 2 R mR / (R + mR), the harmonic mean of recall and mean recall (IETrans, Zhang et al., ECCV 2022).

    Args:
        recall, mean_recall: fractions of any one shape, such as [K].

    Returns:
        the same shape; 0 where both are 0.

    >>> f_at_k(np.array([0.6, 0.0]), np.array([0.2, 0.0])).round(6).tolist()
    [0.3, 0.0]
    """
    total = np.asarray(recall + mean_recall, dtype=np.float64)
    return np.divide(2 * recall * mean_recall, total, out=np.where(np.isnan(total), np.nan, 0.0), where=total > 0)


def m_at_k(recall: np.ndarray, mean_recall: np.ndarray) -> np.ndarray:
    """M@K = (R + mR) / 2, the mean of recall and mean recall (PE-Net, Zheng et al., CVPR 2023).

    Args:
        recall, mean_recall: fractions of any one shape, such as [K].

    >>> m_at_k(np.array([0.6]), np.array([0.2])).tolist()
    [0.4]
    """
    return (recall + mean_recall) / 2


def relative_hits(rank: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Whether each relation is among the first n predictions of its image, n being the image's number of relations.

    Args:
        rank: int [T]; image: int [T], the image of each relation.

    Returns:
        float64 [T], 0 or 1.

    >>> relative_hits(np.array([0, 2, 1]), np.array([5, 5, 8])).tolist()
    [1.0, 0.0, 0.0]
    """
    _, place, number = np.unique(image, return_inverse=True, return_counts=True)
    return (rank < number[place.ravel()]).astype(np.float64)


def predicate_rank_summary(counts: np.ndarray) -> tuple[float, float]:
    """Mean and median of the rank of the right predicate, 1 being the best.

    Args:
        counts: int [R], how many relations have each rank (`ranks.predicate_ranks`); rank 0, of relations whose pair
            was not found, does not count.

    >>> predicate_rank_summary(np.bincount([1, 0, 1, 7]))
    (3.0, 1.0)
    """
    counts = np.concatenate(([0], counts[1:]))
    total = int(counts.sum())
    if not total:
        return float("nan"), float("nan")
    up_to = counts.cumsum()
    middle = np.searchsorted(up_to, [(total - 1) // 2, total // 2], side="right")
    return float(counts @ np.arange(len(counts)) / total), float(middle.mean())


# -- classes ---------------------------------------------------------------------------------------------------------
class RankMetric(ABC):
    """A metric of ranks: `update` with each image, then `compute`.

    Args:
        protocol: says over what recalls are averaged, and for which k.
        num_predicates: R, background included.
        table: several metrics may share one, which is then filled once.
    """

    def __init__(self, protocol: Protocol = PROTOCOLS["sgb"], num_predicates: int = 51, table: RankTable | None = None):
        self.protocol = protocol
        self.num_predicates = num_predicates
        self.table = RankTable() if table is None else table

    def update(self, image: int, ranks: Mapping[str, np.ndarray]) -> None:
        """Add an image with the ranks that `image_ranks.rank_graph` gives for it."""
        self.table.add(image, ranks)

    def compute(self) -> dict[str, float]:
        """The values by name, nan where there is nothing to count."""
        found = average_all([self], self.table.parts())
        return {name: float(value[0]) for name, value in self.values(found).items()}

    @abstractmethod
    def averages(self, columns: Mapping[str, np.ndarray]) -> dict[str, Average]:
        """What has to be averaged, by name, given `RankTable.columns`."""

    @abstractmethod
    def values(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The metrics [B] by name, from averages [B, S, C] of those names."""

    def recall(self, columns: Mapping[str, np.ndarray], rank: str, rows: Any = slice(None)) -> Average:
        """Recall at every k of some relations."""
        hits = hits_at(columns[rank][rows], self.protocol.k)
        return Average(hits, columns["image"][rows], self.protocol.average)

    def by_predicate(self, columns: Mapping[str, np.ndarray], rank: str) -> Average:
        """Recall at every k of each predicate."""
        slot = columns["gt_triplets"][:, 2].astype(np.int64) - 1
        return self.recall(columns, rank)._replace(slot=slot, slots=self.num_predicates - 1)

    def at_k(self, name: str, values: np.ndarray) -> dict[str, np.ndarray]:
        """Values [B, K] under the names `name@k`."""
        return {f"{name}@{k}": column for k, column in zip(self.protocol.k, values.T, strict=True)}


class Recalls(RankMetric):
    """R@K, mR@K, their harmonic mean F@K and mean M@K, each with and without (`ng-`) graph constraint."""

    def averages(self, columns):
        found = {f"{prefix}R": self.recall(columns, rank) for prefix, rank in FREE.items()}
        return found | {f"{prefix}mR": self.by_predicate(columns, rank) for prefix, rank in FREE.items()}

    def values(self, found):
        values = {}
        for prefix in FREE:
            recall, mean_recall = found[f"{prefix}R"][:, 0], mean_of_slots(found[f"{prefix}mR"])
            values |= self.at_k(f"{prefix}R", recall) | self.at_k(f"{prefix}mR", mean_recall)
            values |= self.at_k(f"{prefix}F", f_at_k(recall, mean_recall))
            values |= self.at_k(f"{prefix}M", m_at_k(recall, mean_recall))
        return values


class PairRecall(RankMetric):
    """PR@K: share of the relations whose pair of objects is among the first K predictions, whatever its predicate.

    What detection and the ranking of pairs leave for the predicates: R@K is never above it. (Lorenz et al., SGBench,
    CVPR workshops 2024, count a pair once, however many relations it has.)
    """

    def averages(self, columns):
        return {"PR": self.recall(columns, "matched_pair_rank")}

    def values(self, found):
        return self.at_k("PR", found["PR"][:, 0])


class AccumulatedRecall(RankMetric):
    """aR@K: recall over the relations of all images together, whatever the protocol says."""

    name, rank = "aR", "rank"

    def averages(self, columns):
        return {self.name: self.recall(columns, self.rank)._replace(over="relations")}

    def values(self, found):
        return self.at_k(self.name, found[self.name][:, 0])


class PairAccuracy(AccumulatedRecall):
    """A@K, in PredCls and SGCls: accumulated recall of the predictions on annotated pairs (Zhang et al., CVPR 2019)."""

    name, rank = "A", "pair_rank"


class RelativeRecall(RankMetric):
    """rR: recall at K = the number of annotated relations of the image, with and without graph constraint."""

    def averages(self, columns):
        return {
            f"{prefix}rR": Average(
                relative_hits(columns[rank], columns["image"])[:, None], columns["image"], self.protocol.average
            )
            for prefix, rank in FREE.items()
        }

    def values(self, found):
        return {f"{prefix}rR": found[f"{prefix}rR"][:, 0, 0] for prefix in FREE}


class PredicateRank(RankMetric):
    """Rank of the right predicate among all, for the relations whose pair was found: mean and median, 1 is the best.

    (SGBench's predicate rank begins at 0 and is a mean over images.)
    """

    def compute(self) -> dict[str, float]:
        counts = np.zeros(1, dtype=np.int64)
        for part in self.table.parts():
            more = np.bincount(part.columns["predicate_rank"], minlength=len(counts))
            more[: len(counts)] += counts
            counts = more
        mean, median = predicate_rank_summary(counts)
        return {"predicate_rank_mean": mean, "predicate_rank_median": median}

    def averages(self, columns):
        ranks = columns["predicate_rank"]
        whole = Average(ranks[:, None].astype(np.float64), columns["image"], "relations")
        return {"predicate_rank_mean": whole.chosen(ranks > 0)}

    def values(self, found):
        return {name: found[name][:, 0, 0] for name in ("predicate_rank_mean",)}


class GroupMeanRecall(RankMetric):
    """mR@K of groups of predicates, such as head, body and tail.

    Args:
        groups: places of each group's predicates among those without background, by name.
    """

    def __init__(self, groups: Mapping[str, np.ndarray], *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.groups = groups

    def averages(self, columns):
        return {f"{prefix}mR": self.by_predicate(columns, rank) for prefix, rank in FREE.items()}

    def values(self, found):
        values = {}
        for prefix in FREE:
            for group, places in self.groups.items():
                values |= self.at_k(f"{prefix}mR-{group}", mean_of_slots(found[f"{prefix}mR"], places))
        return values


class OpenVocabularyRecall(GroupMeanRecall):
    """R@K and mR@K of base predicates and of novel ones, and their harmonic mean.

    Args:
        groups: `base` and `novel`, see `GroupMeanRecall`.
    """

    def averages(self, columns):
        found = super().averages(columns)
        predicate = columns["gt_triplets"][:, 2] - 1
        for prefix, rank in FREE.items():
            for group, places in self.groups.items():
                found[f"{prefix}R-{group}"] = self.recall(columns, rank, np.isin(predicate, places))
        return found

    def values(self, found):
        values = super().values(found)
        for prefix in FREE:
            for group in self.groups:
                values |= self.at_k(f"{prefix}R-{group}", found[f"{prefix}R-{group}"][:, 0])
            for name, k in ((name, k) for name in ("R", "mR") for k in self.protocol.k):
                base, novel = (values[f"{prefix}{name}-{group}@{k}"] for group in ("base", "novel"))
                values[f"{prefix}{name}-harmonic@{k}"] = f_at_k(base, novel)
        return values


class SubsetRecall(RankMetric):
    """zR@K and its like: recall of some relations only, told by their triplets of classes.

    Args:
        subsets: by name (`zR`, ...), a function of triplets int [T, 3] that gives bool [T].
    """

    def __init__(self, subsets: Mapping[str, Any], *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.subsets = subsets

    def averages(self, columns):
        chosen = {name: subset(columns["gt_triplets"]) for name, subset in self.subsets.items()}
        return {
            prefix + name: self.recall(columns, rank, rows)
            for prefix, rank in FREE.items()
            for name, rows in chosen.items()
        }

    def values(self, found):
        names = [prefix + name for prefix in FREE for name in self.subsets]
        return {k: v for name in names for k, v in self.at_k(name, found[name][:, 0]).items()}


def average_all(
    metrics: Sequence[RankMetric], parts: Iterable[Part], weights: Iterable[np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """What several metrics of one table average, each once and a part of the test set at a time.

    Args:
        parts: of the table that the metrics share.
        weights: for each part, how often each resample has each image, float [I, B], see `RunningAverage.add`; None:
            the test set itself.

    Returns:
        [B, S, C] by name, for `RankMetric.values`.
    """
    running: dict[str, RunningAverage] = {}
    weighted = (
        ((part, np.ones((part.images, 1))) for part in parts) if weights is None else zip(parts, weights, strict=True)
    )
    for part, weight in weighted:
        wanted: dict[str, Average] = {}
        for metric in metrics:
            wanted |= metric.averages(part.columns)
        for name, average in wanted.items():
            if name not in running:
                slots = None if average.slot is None else average.slots
                running[name] = RunningAverage(slots, average.values.shape[1], weight.shape[1])
            running[name].add(average, weight)
    return {name: one.found() for name, one in running.items()}
