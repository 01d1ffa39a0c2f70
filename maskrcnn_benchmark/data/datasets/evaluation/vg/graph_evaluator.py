"""Accumulates the ranks of a stream of graphs under one protocol, and gives every metric of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np

from .bootstrap import LEVEL, RESAMPLES, SEED, interval, resampled
from .image_ranks import AnnotatedGraph, PredictedGraph, rank_graph
from .metrics import (
    AccumulatedRecall,
    GroupMeanRecall,
    OpenVocabularyRecall,
    PairAccuracy,
    PairRecall,
    PredicateRank,
    RankMetric,
    Recalls,
    RelativeRecall,
    SubsetRecall,
    average_all,
)
from .predicates import frequency_groups, group_columns
from .protocol import Protocol, card_text
from .rank_table import RankTable
from .ranks import TOP_K
from .sgg_eval import (
    SceneGraphEvaluation,
    SGAccumulateRecall,
    SGMeanRecall,
    SGNGMeanRecall,
    SGNGZeroShotRecall,
    SGNoGraphConstraintRecall,
    SGPairAccuracy,
    SGRecall,
    SGZeroShotRecall,
    predicate_lines,
)
from .zero_shot import ZeroShot, distinct_triplets


class GraphEvaluator:
    """All metrics of relations over a stream of images: `update` with each, then `compute`.

    The ranks of relations go to a temporary file. In memory an image costs a few bytes, and with `per_image` some
    kilobytes for SGB's dictionary, which lists the recalls of every image.

    Args:
        protocol: how is counted.
        task: `predcls`, `sgcls` or `sgdet`.
        test_set: a `VGDataset`, or anything that has its `ind_to_predicates`, `relationships` and `split`.
        zero_shot: the zero-shot triplets.
        novel: names of the novel predicates; () for none.
        per_image: fill SGB's `result_dict`.
    """

    def __init__(
        self, protocol: Protocol, task: str, test_set, zero_shot: ZeroShot, novel: Iterable[str] = (),
        per_image: bool = True,
    ):  # fmt: skip
        self.protocol = protocol.of_task(task)
        self.task = task
        self.test_set = test_set
        self.zero_shot = zero_shot
        self.table = RankTable()
        self.result_dict: dict = {}
        predicates = test_set.ind_to_predicates
        self.sgb_metrics = make_metrics(self.result_dict, task, len(predicates), test_set, self.protocol.k)
        self.per_image = per_image
        shared: dict[str, Any] = {
            "protocol": self.protocol, "num_predicates": len(predicates), "table": self.table,
        }  # fmt: skip
        kinds = [Recalls, PairRecall, AccumulatedRecall, RelativeRecall, PredicateRank]
        if task != "sgdet":
            kinds.append(PairAccuracy)
        self.metrics: list[RankMetric] = [kind(**shared) for kind in kinds]
        self.metrics.append(SubsetRecall(zero_shot.subsets(), **shared))
        self.frequency: dict[str, int] | None = None
        self.groups = None
        if zero_shot.training is not None:
            counts = zero_shot.training.by_predicate(len(predicates))[1:]
            self.frequency = dict(zip(predicates[1:], counts.tolist(), strict=True))
            self.groups = frequency_groups(self.frequency)
            self.metrics.append(GroupMeanRecall(group_columns(self.groups.groups, predicates), **shared))
        self.novel = list(novel)
        if self.novel:
            base = [name for name in predicates[1:] if name not in self.novel]
            places = group_columns({"base": base, "novel": self.novel}, predicates)
            self.metrics.append(OpenVocabularyRecall(places, **shared))
        self.found: dict[str, float] = {}
        self._by_predicate: dict[str, np.ndarray] = {}

    def update(self, index: int, truth: AnnotatedGraph, prediction: PredictedGraph) -> None:
        """Add an image of the test set."""
        ranks = rank_graph(truth, prediction, self.task, self.protocol)
        if ranks is not None:
            self.table.add(index, ranks)

    def miss(self, index: int, truth: AnnotatedGraph) -> None:
        """Add an image without a prediction: all its relations are missed, whatever the protocol says."""
        nothing = PredictedGraph(np.zeros((0, 4)), *np.zeros((2, 0), dtype=np.int64), np.zeros((0, 3), dtype=np.int64))
        ranks = rank_graph(truth, nothing, self.task, dataclasses.replace(self.protocol, unpredicted="missed"))
        if ranks is not None:
            self.table.add(index, ranks)

    def compute(self) -> dict[str, float]:
        """All metrics of the images so far, as fractions (ranks of predicates are numbers from 1); nan without any
        value. docs/evaluation.md lists the names."""
        averages = average_all(self.metrics, self.table.parts())
        self.found = self._sgb_values() if self.per_image else {}
        for metric in self.metrics:
            for name, value in metric.values(averages).items():
                self.found.setdefault(name, float(value[0]))
            if isinstance(metric, PredicateRank):
                self.found |= metric.compute()
        self._by_predicate = {name: averages[name][0] for name in ("mR", "ng-mR")}  # [R - 1, K]
        return self.found

    def _sgb_values(self) -> dict[str, float]:
        """SGB's metrics, after its dictionary has been filled."""
        for metric in self.sgb_metrics.values():
            metric.register_container(self.task)
        columns = self.table.columns()
        if len(columns["image"]):
            units = {"image": np.arange(len(columns["image"]))} if self.protocol.average == "relations" else {}
            triplets = {"zeroshot_triplet": self.zero_shot.triplets}
            collect_metrics(self.sgb_metrics, triplets, columns | units, self.task)
        finish_metrics(self.sgb_metrics, self.task)
        return {
            f"{metric.label.strip()}@{k}": value
            for metric in self.sgb_metrics.values()
            for k, value in metric.values(self.task).items()
        }

    def intervals(self) -> dict[str, Any]:
        """The 95% intervals of the metrics over resamples of the test images, see `bootstrap`; medians have none.

        Returns:
            `level`, `resamples`, `seed`, and `metrics`: [low, high] or None by name.
        """
        images = len(self.test_set.relationships)
        values = resampled(self.metrics, self.table.parts(images), images)
        return {
            "level": LEVEL,
            "resamples": RESAMPLES,
            "seed": SEED,
            "metrics": {name: interval(found) for name, found in values.items()},
        }

    def card(self) -> dict[str, Any]:
        """The whole protocol: the fields of `Protocol`, the zero-shot list, and the split with its images."""
        numbers = np.array([len(relations) for relations in self.test_set.relationships])
        split = {
            "name": self.test_set.split,
            "images": len(numbers),
            "with_relations": int((numbers > 0).sum()),
            "without_relations": int((numbers == 0).sum()),
        }
        return self.protocol.fields() | {"zero_shot": self.zero_shot.card(), "split": split}

    def text(self) -> str:
        """After `compute`: the protocol, SGB's lines, and a line for each further metric."""
        text = f"protocol: {card_text(self.card())}\n"
        for metric in self.sgb_metrics.values():
            label = metric.label.strip()
            text += metric.line(self.task, {k: self.found[f"{label}@{k}"] for k in self.protocol.k})
            if isinstance(metric, SGMeanRecall):
                text += predicate_lines(self.recall_by_predicate()[f"{label}@{self.protocol.max_k}"])
        printed = {metric.label.strip() for metric in self.sgb_metrics.values()}
        lines: dict[str, str] = {}
        for name, value in self.found.items():
            label, at, k = name.partition("@")
            if label not in printed:
                part = f"{label:>5} @ {k}: {value:.4f}; " if at else f"{label:>5}: {value:.4f}; "
                lines[label] = lines.get(label, "SGG eval: ") + part
        return text + "".join(f"{line} for mode={self.task}.\n" for line in lines.values())

    @cached_property
    def annotated_triplets(self) -> np.ndarray:
        """The different (subject class, object class, predicate) of the test set, int64 [U, 3]."""
        return distinct_triplets(self.test_set.gt_classes, self.test_set.relationships)

    def recall_by_predicate(self) -> dict[str, dict[str, float]]:
        """After `compute`: recall of each predicate by its name, for `mR@k` and `ng-mR@k`."""
        names = self.test_set.ind_to_predicates[1:]
        return {
            f"{name}@{k}": dict(zip(names, recalls, strict=True))
            for name, by_k in self._by_predicate.items()
            for k, recalls in zip(self.protocol.k, by_k.T.tolist(), strict=True)
        }

    def save_ranks(self, path: str | os.PathLike) -> None:
        """Write the table of ranks as npz, with `zero_shot` bool [T], `images` (how many the test set has) and
        `num_predicates` (with background): two runs are compared image by image with it."""
        scalars = {"images": len(self.test_set.relationships), "num_predicates": len(self.test_set.ind_to_predicates)}
        zero_shot = self.zero_shot.subsets()["zR"]
        self.table.save(path, scalars, {"zero_shot": lambda columns: zero_shot(columns["gt_triplets"])})


# -- SGB's metrics together ------------------------------------------------------------------------------------------
def make_metrics(
    result_dict: dict, mode: str, num_rel: int, dataset, top_k: tuple[int, ...] = TOP_K
) -> dict[str, SceneGraphEvaluation]:
    """SGB's metrics, under its names and in the order of its log; pair accuracy where the boxes are given."""
    names = dataset.ind_to_predicates
    metrics: dict[str, SceneGraphEvaluation] = {
        "eval_recall": SGRecall(result_dict, top_k),
        "eval_nog_recall": SGNoGraphConstraintRecall(result_dict, top_k),
        "eval_zeroshot_recall": SGZeroShotRecall(result_dict, top_k),
        "eval_ng_zeroshot_recall": SGNGZeroShotRecall(result_dict, top_k),
        "eval_mean_recall": SGMeanRecall(result_dict, num_rel, names, print_detail=True, top_k=top_k),
        "eval_ng_mean_recall": SGNGMeanRecall(result_dict, num_rel, names, print_detail=True, top_k=top_k),
        "eval_accumulate_recall": SGAccumulateRecall(result_dict, top_k),
    }
    if mode != "sgdet":
        metrics["eval_pair_accuracy"] = SGPairAccuracy(result_dict, top_k)
    for metric in metrics.values():
        metric.register_container(mode)
    return metrics


def collect_metrics(
    metrics: dict[str, SceneGraphEvaluation], global_container: dict, local_container: dict, mode: str
) -> None:
    """Give the ranks of one or many images to every metric."""
    for metric in metrics.values():
        if isinstance(metric, SGMeanRecall):
            metric.collect_mean_recall_items(global_container, local_container, mode)
            continue
        if isinstance(metric, SGZeroShotRecall):
            metric.prepare_zeroshot(global_container, local_container)
        metric.calculate_recall(global_container, local_container, mode)


def finish_metrics(metrics: dict[str, SceneGraphEvaluation], mode: str) -> None:
    """Take the averages that need all images."""
    for metric in metrics.values():
        if isinstance(metric, SGMeanRecall):
            metric.calculate_mean_recall(mode)
        elif isinstance(metric, SGAccumulateRecall):
            metric.calculate_accumulate(mode)
