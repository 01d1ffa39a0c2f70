"""Made-up images for the tests of the evaluation, and recalls counted in the plainest way."""

import numpy as np

from maskrcnn_benchmark.data.datasets.evaluation.vg.image_ranks import AnnotatedGraph, PredictedGraph

CLASSES, PREDICATES = 5, 6  # with background


def random_graphs(rng, images, objects=6, relations=8):
    """(annotated, predicted) graphs; annotations repeat and share pairs, boxes are jittered, some classes wrong."""
    found = []
    for _ in range(images):
        count = int(rng.integers(2, objects + 1))
        corner = rng.uniform(0, 40, (count, 2))
        boxes = np.concatenate((corner, corner + rng.uniform(8, 30, (count, 2))), 1).astype(np.float32)
        classes = rng.integers(1, CLASSES, count)
        rows = rng.integers(0, [count, count, PREDICATES - 1], (int(rng.integers(1, relations + 1)), 3)) + [0, 0, 1]
        rows = np.concatenate((rows, rows[:1]))
        pairs = np.argwhere(~np.eye(count, dtype=bool))
        pairs = pairs[rng.permutation(len(pairs))]
        scores = rng.random((len(pairs), PREDICATES)).astype(np.float32)
        for s, o, p in rows[rng.random(len(rows)) < 0.6].tolist():
            scores[(pairs == (s, o)).all(1), p] += 1  # right now and then
        order = np.argsort(-scores[:, 1:].max(1), kind="stable")
        pairs, scores = pairs[order], scores[order]
        guessed = np.where(rng.random(count) < 0.8, classes, rng.integers(1, CLASSES, count))
        jitter = boxes + rng.normal(0, 1.5, boxes.shape).astype(np.float32)
        obj_scores = rng.random(count).astype(np.float32)
        found.append((AnnotatedGraph(boxes, classes, rows), PredictedGraph(jitter, guessed, obj_scores, pairs, scores)))
    return found


def iou(a, b, inclusive=True):
    def side(low, high):
        return max(high - low + inclusive, 0)

    inner = side(max(a[0], b[0]), min(a[2], b[2])) * side(max(a[1], b[1]), min(a[3], b[3]))
    areas = [side(box[0], box[2]) * side(box[1], box[3]) for box in (a, b)]
    return inner / (sum(areas) - inner) if inner else 0.0


def graph_list(predicted):
    """[(subject, object, predicate)] with one predicate a pair, in the order of the pairs."""
    return [
        (s, o, max(range(1, PREDICATES), key=lambda p, row=row: row[p]))
        for (s, o), row in zip(predicted.relations.tolist(), predicted.rel_scores.tolist(), strict=True)
    ]


def free_list(predicted):
    """[(subject, object, predicate)] of all scores times those of both objects, best first."""
    scored = [
        (-float(predicted.scores[s] * predicted.scores[o] * row[p]), place, p, (s, o, p))
        for place, ((s, o), row) in enumerate(zip(predicted.relations.tolist(), predicted.rel_scores, strict=True))
        for p in range(1, PREDICATES)
    ]
    return [relation for *_, relation in sorted(scored)]


def fits(truth, predicted, mine, true, threshold=0.5, inclusive=True):
    """Whether a predicted object is an annotated one."""
    same = predicted.classes[mine] == truth.classes[true]
    return bool(same) and iou(predicted.boxes[mine].tolist(), truth.boxes[true].tolist(), inclusive) >= threshold


def found_of(truth, predicted, relations, rows, with_predicate=True, **options):
    """Which annotated rows the predicted relations find, each as often as it is annotated."""
    return {
        index
        for index, (s, o, p) in enumerate(rows)
        if any(
            (not with_predicate or q == p)
            and fits(truth, predicted, a, s, **options)
            and fits(truth, predicted, b, o, **options)
            for a, b, q in relations
        )
    }
