"""Writes what an evaluation found, and what it was measured on; docs/evaluation.md describes the files."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import torch

from maskrcnn_benchmark.utils.files import atomic_write

from .graph_evaluator import GraphEvaluator
from .ranks import contains_triplets
from .test_set import annotation_fingerprint, triplet_fingerprint
from .zero_shot import KINDS


def metrics_as_json(found: dict[str, float]) -> dict[str, float | None]:
    """Metrics with None where there was nothing to count."""
    return {name: None if math.isnan(value) else value for name, value in found.items()}


def relation_summary(graphs: GraphEvaluator) -> dict[str, Any]:
    """After `compute`: what `evaluation.json` holds of relations."""
    summary: dict[str, Any] = {
        "task": graphs.task,
        "protocol": graphs.card(),
        "num_images_evaluated": len(graphs.table),
        "recall_by_predicate": graphs.recall_by_predicate(),
        "intervals": graphs.intervals(),
        "novel_predicates": graphs.novel,
    }
    annotated, kinds = _zero_shot_of_split(graphs)
    summary["zero_shot"] = triplet_fingerprint(annotated)
    summary["zero_shot_kinds"] = triplet_fingerprint(*(kinds[kind] for kind in KINDS)) if kinds else None
    if graphs.groups is not None:
        summary["training_frequency"] = graphs.frequency
        summary["predicate_groups"] = {"rule": graphs.groups.rule, **graphs.groups.groups}
    return summary


def write_relation_files(graphs: GraphEvaluator, folder: str) -> None:
    """Write SGB's `result_dict.pytorch` where it was filled, the ranks, and the zero-shot triplets."""
    if graphs.per_image:
        with atomic_write(os.path.join(folder, "result_dict.pytorch")) as path:
            torch.save(graphs.result_dict, path)
    graphs.save_ranks(os.path.join(folder, "ranks.npz"))
    write_json(os.path.join(folder, "zero_shot_triplets.json"), graphs.zero_shot.triplets.tolist())
    if kinds := _zero_shot_of_split(graphs)[1]:
        write_json(os.path.join(folder, "zero_shot_kinds.json"), {kind: rows.tolist() for kind, rows in kinds.items()})


def write_evaluation(folder: str, dataset_name: str, test_set, num_images: int, found: dict, summary: dict) -> None:
    """Write `evaluation.json`.

    Args:
        num_images: how many were predicted.
        found: the metrics.
        summary: what else it holds.
    """
    content = {
        "dataset": dataset_name,
        "task": "detection",
        "num_images": num_images,
        "test_set": annotation_fingerprint(test_set),
        "metrics": metrics_as_json(found),
    }
    write_json(os.path.join(folder, "evaluation.json"), content | summary, indent=1)


def write_json(path: str, content: Any, indent: int | None = None) -> None:
    """Write a json file that is whole or absent."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=indent))


def _zero_shot_of_split(graphs: GraphEvaluator):
    """The zero-shot triplets that the evaluated split has, int64 [Z, 3], and those of each kind."""
    annotated = graphs.annotated_triplets
    kinds = {kind: annotated[chosen] for kind, chosen in graphs.zero_shot.kinds(annotated).items()}
    return annotated[contains_triplets(annotated, graphs.zero_shot.triplets)], kinds
