"""SGB's metrics of scene graphs, under its names and with its log lines, from the ranks of annotated relations.

Shape letters are those of ranks.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from maskrcnn_benchmark.sgb_compat import _compute_pred_matches, _triplet  # noqa: F401  (SGB's users find them here)

from .ranks import TOP_K, contains_triplets, grouped_mean, hits_at, mean
from .relation_nms import rel_nms  # noqa: F401  (where PE-Net has it)


class SceneGraphEvaluation(ABC):
    """One metric of SGB: containers in a shared `result_dict`, filled from ranks, printed as a line.

    The ranks come in `local_container`, of one image or of many:

        gt_triplets  int [T, 3] of (subject class, object class, predicate)
        image        int [T], to which image a relation belongs, ascending; a number for each relation averages over
                     relations
        rank, nogc_rank, pair_rank   int [T], see `rank_lists`
    """

    def __init__(self, result_dict: dict, top_k: Sequence[int] = TOP_K):
        self.result_dict = result_dict
        self.top_k = tuple(top_k)

    @abstractmethod
    def register_container(self, mode: str) -> None:
        """Put the empty containers of the task `mode` (predcls, sgcls, sgdet) into the result dictionary."""

    @abstractmethod
    def generate_print_string(self, mode: str) -> str:
        """The line of the log."""


class _PerK(SceneGraphEvaluation):
    """What all metrics share: a container with a value or list for each k, and SGB's line."""

    container: ClassVar[str]  # suffix of the key in the result dictionary
    label: ClassVar[str]
    title: ClassVar[str]
    rank: ClassVar[str] = "rank"

    def values(self, mode: str) -> dict[int, float]:
        """The metric for each k."""
        return {k: mean(v) for k, v in self.result_dict[mode + self.container].items()}

    def generate_print_string(self, mode: str) -> str:
        return self.line(mode, self.values(mode))

    @classmethod
    def line(cls, mode: str, values: Mapping[int, float]) -> str:
        """SGB's line of the values for each k."""
        parts = "".join(f"{cls.label} @ {k}: {value:.4f}; " for k, value in values.items())
        return f"SGG eval: {parts} for mode={mode}, type={cls.title}.\n"

    def _extend(self, container: str, columns: np.ndarray) -> None:
        """Append the rows of columns [I, K] to the lists of a container."""
        for values, column in zip(self.result_dict[container].values(), columns.T, strict=True):
            values.extend(column.tolist())


class SGRecall(_PerK):
    """R@k: the share of an image's relations that its first k predictions hold, averaged over images (Motifs)."""

    container, label, title = "_recall", "    R", "Recall(Main)"

    def register_container(self, mode: str) -> None:
        self.result_dict[mode + self.container] = {k: [] for k in self.top_k}

    def calculate_recall(self, global_container: dict, local_container: dict, mode: str) -> dict:
        """Append the recall of each image."""
        hits = hits_at(local_container[self.rank], self.top_k)
        self._extend(mode + self.container, grouped_mean(hits, local_container["image"])[1])
        return local_container


class SGNoGraphConstraintRecall(SGRecall):
    """ng-R@k: the same where a pair may have several predicates."""

    container, label, title = "_recall_nogc", " ng-R", "No Graph Constraint Recall(Main)"
    rank = "nogc_rank"


class SGZeroShotRecall(SGRecall):
    """zR@k: the recall of relations whose triplet of classes training never shows."""

    container, label, title = "_zeroshot_recall", "   zR", "Zero Shot Recall"

    def prepare_zeroshot(self, global_container: dict, local_container: dict) -> None:
        """Find the relations that count, given `zeroshot_triplet` int [Z, 3] of the global container."""
        zero_shot = contains_triplets(local_container["gt_triplets"], global_container["zeroshot_triplet"])
        self.zeroshot_idx = np.flatnonzero(zero_shot)

    def calculate_recall(self, global_container: dict, local_container: dict, mode: str) -> dict:
        counted = {name: local_container[name][self.zeroshot_idx] for name in ("image", self.rank)}
        super().calculate_recall(global_container, counted, mode)
        return local_container


class SGNGZeroShotRecall(SGZeroShotRecall):
    """ng-zR@k: zero-shot recall without graph constraint."""

    container, label, title = "_ng_zeroshot_recall", "ng-zR", "No Graph Constraint Zero Shot Recall"
    rank = "nogc_rank"


class SGPairAccuracy(_PerK):
    """A@k: recall of the predictions on annotated pairs, over all relations; PredCls and SGCls only.

    From Zhang et al., Graphical Contrastive Losses for Scene Graph Parsing, CVPR 2019.
    """

    container, label, title = "_accuracy", "    A", "TopK Accuracy"
    rank = "pair_rank"

    def register_container(self, mode: str) -> None:
        for part in ("_hit", "_count"):
            self.result_dict[mode + self.container + part] = {k: [] for k in self.top_k}

    def values(self, mode: str) -> dict[int, float]:
        hits, counts = (self.result_dict[mode + self.container + part] for part in ("_hit", "_count"))
        return {k: sum(hits[k]) / sum(counts[k]) if counts[k] else float("nan") for k in self.top_k}

    def calculate_recall(self, global_container: dict, local_container: dict, mode: str) -> None:
        """Append the hits and the number of relations of each image."""
        if mode == "sgdet":
            return
        image = local_container["image"]
        count = np.unique(image, return_counts=True)[1][:, None].astype(np.float64)
        hit = grouped_mean(hits_at(local_container[self.rank], self.top_k), image)[1] * count
        self._extend(mode + self.container + "_hit", hit.round())
        self._extend(mode + self.container + "_count", count.repeat(len(self.top_k), 1))


class SGMeanRecall(_PerK):
    """mR@k: recall of each predicate, averaged over the images that have it, then over predicates (VCTree)."""

    container, label, title = "_mean_recall", "   mR", "Mean Recall"

    def __init__(
        self,
        result_dict: dict,
        num_rel: int,
        ind_to_predicates: list[str],
        print_detail: bool = False,
        top_k: Sequence[int] = TOP_K,
    ):
        super().__init__(result_dict, top_k)
        self.num_rel = num_rel
        self.rel_name_list = ind_to_predicates[1:]
        self.print_detail = print_detail

    def register_container(self, mode: str) -> None:
        self.result_dict[mode + self.container] = dict.fromkeys(self.top_k, 0.0)
        self.result_dict[mode + self.container + "_collect"] = {
            k: [[] for _ in range(self.num_rel)] for k in self.top_k
        }
        self.result_dict[mode + self.container + "_list"] = {k: [] for k in self.top_k}

    def collect_mean_recall_items(self, global_container: dict, local_container: dict, mode: str) -> None:
        """Append each image's recall of every predicate that it has; place 0 holds that of all its relations."""
        hits, image = hits_at(local_container[self.rank], self.top_k), local_container["image"]
        predicate = local_container["gt_triplets"][:, 2].astype(np.int64)
        groups, recalls = grouped_mean(hits, image.astype(np.int64) * self.num_rel + predicate)  # [U], [U, K]
        predicate = np.concatenate((groups % self.num_rel, np.zeros(len(np.unique(image)), dtype=np.int64)))
        recalls = np.concatenate((recalls, grouped_mean(hits, image)[1]))
        order = np.argsort(predicate, kind="stable")
        present, start = np.unique(predicate[order], return_index=True)
        collect = self.result_dict[mode + self.container + "_collect"]
        for place, rows in zip(present.tolist(), np.split(recalls[order], start[1:]), strict=True):
            for k, column in zip(self.top_k, rows.T, strict=True):
                collect[k][place].extend(column.tolist())

    def calculate_mean_recall(self, mode: str) -> None:
        """Average what was collected; a predicate that never occurs counts as 0."""
        for k, collected in self.result_dict[mode + self.container + "_collect"].items():
            by_predicate = [mean(values) if values else 0.0 for values in collected[1:]]
            self.result_dict[mode + self.container + "_list"][k] = by_predicate
            self.result_dict[mode + self.container][k] = mean(by_predicate)

    def values(self, mode: str) -> dict[int, float]:
        return self.result_dict[mode + self.container]

    def generate_print_string(self, mode: str) -> str:
        text = super().generate_print_string(mode)
        if self.print_detail:
            recalls = self.result_dict[f"{mode}{self.container}_list"][self.top_k[-1]]
            text += predicate_lines(dict(zip(self.rel_name_list, recalls, strict=True)))
        return text


def predicate_lines(recalls: Mapping[str, float]) -> str:
    """SGB's lines of the recall of each predicate by its name."""
    details = "".join(f"({name}:{recall:.4f}) " for name, recall in recalls.items())
    return f"{' Details '.center(56, '-')}\n{details}\n{'-' * 56}\n"


class SGNGMeanRecall(SGMeanRecall):
    """ng-mR@k: mean recall without graph constraint."""

    container, label, title = "_ng_mean_recall", "ng-mR", "No Graph Constraint Mean Recall"
    rank = "nogc_rank"


class SGAccumulateRecall(_PerK):
    """aR@k: recall over the relations of all images together."""

    container, label, title = "_accumulate_recall", "   aR", "Accumulate Recall"

    def register_container(self, mode: str) -> None:
        self.result_dict[mode + self.container] = dict.fromkeys(self.top_k, 0.0)
        self._hits, self._count = np.zeros(len(self.top_k)), 0

    def calculate_recall(self, global_container: dict, local_container: dict, mode: str) -> None:
        """Add the hits and the number of relations."""
        self._hits += hits_at(local_container[self.rank], self.top_k).sum(0)
        self._count += len(local_container[self.rank])

    def calculate_accumulate(self, mode: str) -> None:
        """Divide what was added up."""
        recall = self._hits / self._count if self._count else np.full(len(self.top_k), np.nan)
        self.result_dict[mode + self.container] = dict(zip(self.top_k, recall.tolist(), strict=True))

    def values(self, mode: str) -> dict[int, float]:
        return self.result_dict[mode + self.container]
