"""What one image more costs an evaluation: all of SGB's recalls from ranks, and as they are usually counted.

    python benchmarks/evaluation.py --objects 12 --task predcls

Both evaluate the same made-up predictions (every ordered pair of the objects, best first) and must find the same. The
usual way lists for every prediction which annotated relations it matches and unites these lists, for every metric and
every k anew.
"""

from __future__ import annotations

import argparse
import time
from functools import reduce
from types import SimpleNamespace

import numpy as np

from maskrcnn_benchmark.data.datasets.evaluation.vg.graph_evaluator import GraphEvaluator
from maskrcnn_benchmark.data.datasets.evaluation.vg.image_ranks import AnnotatedGraph, PredictedGraph
from maskrcnn_benchmark.data.datasets.evaluation.vg.protocol import PROTOCOLS
from maskrcnn_benchmark.data.datasets.evaluation.vg.ranks import TOP_K
from maskrcnn_benchmark.data.datasets.evaluation.vg.zero_shot import ZeroShot
from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps

CLASSES, PREDICATES = 151, 51
ZERO_SHOT_CLASSES = 6  # triplets of a subject class below that count as zero-shot
Images = list[tuple[AnnotatedGraph, PredictedGraph]]


def make_images(task: str, count: int, objects: int, relations: int = 20) -> Images:
    """Annotated graphs, and predictions that are right now and then."""
    rng, found = np.random.default_rng(0), []
    pairs = np.argwhere(~np.eye(objects, dtype=bool))
    for _ in range(count):
        corner = rng.uniform(0, 500, (objects, 2))
        boxes = np.concatenate((corner, corner + rng.uniform(50, 300, (objects, 2))), 1).astype(np.float32)
        classes = rng.integers(1, CLASSES, objects)
        rows = np.column_stack((pairs[rng.permutation(len(pairs))[:relations]], rng.integers(1, PREDICATES, relations)))
        logits = 2 * rng.standard_normal((len(pairs), PREDICATES)).astype(np.float32)
        place = {pair: i for i, pair in enumerate(map(tuple, pairs.tolist()))}
        for subject, obj, predicate in rows[: len(rows) // 2].tolist():
            logits[place[subject, obj], predicate] += 6
        scores = np.exp(logits)
        scores /= scores.sum(1, keepdims=True)
        guessed, moved, sure = classes, boxes, np.ones(objects, dtype=np.float32)
        if task == "sgdet":
            guessed = np.where(rng.random(objects) < 0.6, classes, rng.integers(1, CLASSES, objects))
            moved = boxes + rng.normal(0, 10, boxes.shape).astype(np.float32)
            sure = (0.95 * np.exp(-0.04 * np.arange(objects))).astype(np.float32)
        order = np.argsort(-scores[:, 1:].max(1) * sure[pairs].prod(1), kind="stable")
        found.append(
            (AnnotatedGraph(boxes, classes, rows), PredictedGraph(moved, guessed, sure, pairs[order], scores[order]))
        )
    return found


def by_ranks(task: str, images: Images) -> dict[str, float]:
    """All metrics of the evaluator, SGB's among them."""
    names = ["__background__", *(f"predicate {i}" for i in range(1, PREDICATES))]
    test_set = SimpleNamespace(
        ind_to_predicates=names, relationships=[truth.relations for truth, _ in images], split=""
    )
    triplets = np.stack(
        np.meshgrid(np.arange(1, ZERO_SHOT_CLASSES), np.arange(CLASSES), np.arange(PREDICATES)), -1
    ).reshape(-1, 3)
    evaluator = GraphEvaluator(PROTOCOLS["sgb"], task, test_set, ZeroShot(triplets, None))
    for index, (truth, predicted) in enumerate(images):
        evaluator.update(index, truth, predicted)
    return evaluator.compute()


def by_unions(task: str, images: Images) -> dict[str, float]:
    """SGB's metrics: every one unites, for every k, what the first k predictions match."""
    recalls: dict[str, list[float]] = {}
    by_predicate: dict[str, list[list[float]]] = {}
    accurate, annotated = dict.fromkeys(TOP_K, 0), 0
    for truth, predicted in images:
        rows = truth.relations
        zero_shot = np.flatnonzero(truth.classes[rows[:, 0]] < ZERO_SHOT_CLASSES)
        for prefix, relations in zip(("", "ng-"), lists_of(predicted), strict=True):
            found_by = matches(truth, predicted, relations)
            for k in TOP_K:
                united = union(found_by[:k])
                recalls.setdefault(f"{prefix}R@{k}", []).append(len(united) / len(rows))
            for k in TOP_K:
                united = union(found_by[:k])
                if len(zero_shot):
                    share = len(np.intersect1d(united, zero_shot)) / len(zero_shot)
                    recalls.setdefault(f"{prefix}zR@{k}", []).append(share)
            for k in TOP_K:
                united = union(found_by[:k])
                hits, counts = np.zeros(PREDICATES), np.zeros(PREDICATES)
                for predicate in rows[:, 2]:
                    counts[predicate] += 1
                for place in united:
                    hits[rows[place, 2]] += 1
                collected = by_predicate.setdefault(f"{prefix}mR@{k}", [[] for _ in range(PREDICATES)])
                for predicate in np.flatnonzero(counts):
                    collected[predicate].append(hits[predicate] / counts[predicate])
            if task != "sgdet" and not prefix:
                known = {(subject, obj) for subject, obj, _ in rows.tolist()}
                own = [
                    places
                    for places, pair in zip(found_by, relations.tolist(), strict=True)
                    if tuple(pair[:2]) in known
                ]
                annotated += len(rows)
                for k in TOP_K:
                    accurate[k] += len(union(own[:k]))
    found = {name: float(np.mean(values)) for name, values in recalls.items()}
    for name, collected in by_predicate.items():
        found[name] = float(np.mean([np.mean(values) if values else 0.0 for values in collected[1:]]))
    return found | ({f"A@{k}": hits / annotated for k, hits in accurate.items()} if annotated else {})


def lists_of(predicted: PredictedGraph) -> tuple[np.ndarray, np.ndarray]:
    """Relations [L, 3] with and without graph constraint, best first."""
    pairs, scores = predicted.relations, predicted.rel_scores[:, 1:]
    weighted = predicted.scores[pairs].prod(1)[:, None] * scores
    pair, predicate = np.unravel_index(np.argsort(-weighted, axis=None, kind="stable")[:100], weighted.shape)
    return np.column_stack((pairs, 1 + scores.argmax(1))), np.column_stack((pairs[pair], predicate + 1))


def matches(truth: AnnotatedGraph, predicted: PredictedGraph, relations: np.ndarray) -> list[list[int]]:
    """The annotated relations that each prediction matches, found relation by relation."""
    ours = np.column_stack((predicted.classes[relations[:, :2]], relations[:, 2]))
    found_by: list[list[int]] = [[] for _ in relations]
    for index, (subject, obj, predicate) in enumerate(truth.relations):
        same = np.flatnonzero((ours == (truth.classes[subject], truth.classes[obj], predicate)).all(1))
        ends = [
            bbox_overlaps(predicted.boxes[relations[same, end]], truth.boxes[None, [subject, obj][end]])[:, 0] >= 0.5
            for end in (0, 1)
        ]
        for prediction in same[ends[0] & ends[1]]:
            found_by[prediction].append(index)
    return found_by


def union(found_by: list[list[int]]) -> np.ndarray:
    """The annotated relations that any of some predictions matches."""
    return reduce(np.union1d, found_by, np.zeros(0)).astype(np.int64)


def seconds_of_one_more(count, images: Images, task: str, repeats: int) -> float:
    """Processor time that an image adds: what all images take above what half of them do, the least of some runs."""
    half = len(images) // 2
    least = []
    for part in (images, images[:half]):
        times = []
        for _ in range(repeats):
            start = time.process_time()
            count(task, part)
            times.append(time.process_time() - start)
        least.append(min(times))
    return (least[0] - least[1]) / (len(images) - half)


def compare(task: str, objects: int, images: int = 120, repeats: int = 5) -> tuple[float, float]:
    """Seconds that one image more costs, from ranks and by unions; their results are the same."""
    made = make_images(task, images, objects)
    ours, usual = by_ranks(task, made), by_unions(task, made)
    assert any(name.startswith("zR") for name in usual)
    for name, value in usual.items():
        np.testing.assert_allclose(ours[name], value, err_msg=name)
    few = made[: max(images // 6, 2)]
    return seconds_of_one_more(by_ranks, made, task, repeats), seconds_of_one_more(by_unions, few, task, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--objects", type=int, default=80)
    parser.add_argument("--task", choices=("predcls", "sgcls", "sgdet"), default="sgdet")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    fast, usual = compare(args.task, args.objects, args.images, args.repeats)
    print(f"ranks: {1e3 * fast:.2f} ms, unions: {1e3 * usual:.2f} ms an image more; ratio {usual / fast:.1f}")


if __name__ == "__main__":
    main()
