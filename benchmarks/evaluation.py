"""How much faster recalls from ranks are than a loop over the annotated relations.

    python benchmarks/evaluation.py --images 20 --objects 40

Both evaluate the same made-up SGDet predictions (every ordered pair of the objects); their recalls must agree.
"""

import argparse
import time

import numpy as np

from maskrcnn_benchmark.data.datasets.evaluation.vg.ranks import (
    TOP_K,
    hits_at,
    object_agreement,
    rank_relations,
)
from maskrcnn_benchmark.utils.miscellaneous import bbox_overlaps


def make_image(rng: np.random.Generator, objects: int, relations: int, predicates: int) -> dict[str, np.ndarray]:
    """Annotated boxes and relations, and predictions that are right now and then."""
    corner = rng.uniform(0, 500, (objects, 2))
    gt_boxes = np.concatenate((corner, corner + rng.uniform(50, 300, (objects, 2))), 1).astype(np.float32)
    gt_classes = rng.integers(1, 151, objects)
    pairs = np.argwhere(~np.eye(objects, dtype=bool))
    return {
        "gt_boxes": gt_boxes,
        "gt_classes": gt_classes,
        "gt": np.column_stack((pairs[rng.integers(0, len(pairs), relations)], rng.integers(1, predicates, relations))),
        "boxes": gt_boxes + rng.normal(0, 20, gt_boxes.shape).astype(np.float32),
        "classes": np.where(rng.random(objects) < 0.6, gt_classes, rng.integers(1, 151, objects)),
        "pairs": pairs[rng.permutation(len(pairs))],
        "scores": rng.random((len(pairs), predicates)).astype(np.float32),
        "obj_scores": rng.random(objects).astype(np.float32),
    }


def by_ranks(image: dict[str, np.ndarray]) -> np.ndarray:
    """Recalls [2, K]: with and without graph constraint."""
    agreement = object_agreement(image["boxes"], image["classes"], image["gt_boxes"], image["gt_classes"])
    ranks = rank_relations(
        image["gt"], image["pairs"], image["scores"], image["obj_scores"], agreement, same_boxes=False
    )
    return np.stack([hits_at(ranks[name]).mean(0) for name in ("rank", "nogc_rank")])


def by_loops(image: dict[str, np.ndarray]) -> np.ndarray:
    """The same as usually done: all scores sorted, matches listed relation by relation and united for each k."""
    scores = image["obj_scores"][image["pairs"]].prod(1)[:, None] * image["scores"][:, 1:]
    pair, predicate = np.unravel_index(np.argsort(-scores, axis=None, kind="stable")[:100], scores.shape)
    recalls = []
    for predictions in (
        np.column_stack((image["pairs"], 1 + image["scores"][:, 1:].argmax(1))),
        np.column_stack((image["pairs"][pair], predicate + 1)),
    ):
        subjects, objects, predicates = predictions.T
        found_by = [[] for _ in predictions]
        for index, (gt_subject, gt_object, gt_predicate) in enumerate(image["gt"]):
            same = (
                (predicates == gt_predicate)
                & (image["classes"][subjects] == image["gt_classes"][gt_subject])
                & (image["classes"][objects] == image["gt_classes"][gt_object])
            )
            for prediction in np.flatnonzero(same):
                boxes = image["boxes"][predictions[prediction, :2]]
                overlaps = bbox_overlaps(boxes, image["gt_boxes"][[gt_subject, gt_object]])
                if overlaps[0, 0] >= 0.5 and overlaps[1, 1] >= 0.5:
                    found_by[prediction].append(index)
        for k in TOP_K:
            recalls.append(len(set().union(*found_by[:k])) / len(image["gt"]))
    return np.reshape(recalls, (2, len(TOP_K)))


def seconds(function, images: list[dict], repeats: int) -> tuple[float, list[np.ndarray]]:
    """The best of some runs, and the results."""
    best, results = np.inf, []
    for _ in range(repeats):
        start = time.perf_counter()
        results = [function(image) for image in images]
        best = min(best, time.perf_counter() - start)
    return best, results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--objects", type=int, default=40)
    parser.add_argument("--relations", type=int, default=20)
    parser.add_argument("--predicates", type=int, default=51)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    images = [make_image(rng, args.objects, args.relations, args.predicates) for _ in range(args.images)]
    fast, from_ranks = seconds(by_ranks, images, args.repeats)
    slow, from_loops = seconds(by_loops, images, args.repeats)
    np.testing.assert_allclose(from_ranks, from_loops)
    print(f"ranks: {1e3 * fast / args.images:.2f} ms per image")
    print(f"loops: {1e3 * slow / args.images:.2f} ms per image")
    print(f"ratio: {slow / fast:.1f}")


if __name__ == "__main__":
    main()
