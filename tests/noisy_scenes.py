"""Random scenes in the VG-SGG format, knowledge bases and labels: for tests of distant supervision."""

import numpy as np

from maskrcnn_benchmark.distant.labels import Labels

CLASSES, PREDICATES = 6, 7  # without background


def make_arrays(seed: int = 0, images: int = 14, marked: bool = True) -> dict[str, np.ndarray]:
    """The arrays of an h5: images with 0 to 5 boxes and 0 to 4 human relations; with `marked` some are for validation.

    Rows of images stand in another order than the images, as the format allows.
    """
    rng = np.random.default_rng(seed)
    codes = rng.choice([0, 0, 0, 1, 2] if marked else [0, 0, 2], images)
    spans = {
        f"img_to_{end}_{what}": np.full(images, -1, np.int32) for what in ("box", "rel") for end in ("first", "last")
    }
    boxes, labels, relationships, predicates = [], [], [], []
    for image in rng.permutation(images):
        number = int(rng.integers(0, 6))
        first = len(boxes)
        for _ in range(number):
            boxes.append([*rng.integers(100, 900, 2), *(2 * rng.integers(20, 200, 2))])
            labels.append([rng.integers(1, CLASSES + 1)])
        if number:
            spans["img_to_first_box"][image], spans["img_to_last_box"][image] = first, first + number - 1
        related = int(rng.integers(0, 5)) if number > 1 else 0
        if related:
            start = len(predicates)
            for _ in range(related):
                relationships.append(first + rng.choice(number, 2, replace=False))
                predicates.append([rng.integers(1, PREDICATES + 1)])
            spans["img_to_first_rel"][image], spans["img_to_last_rel"][image] = start, len(predicates) - 1
    return {
        "boxes_1024": np.array(boxes, np.int32),
        "labels": np.array(labels, np.int64),
        "attributes": np.zeros((len(boxes), 10), np.int64),
        "relationships": np.array(relationships, np.int32),
        "predicates": np.array(predicates, np.int64),
        "split": codes.astype(np.int32),
        **spans,
    }


CLASS_NAMES = ["__background__", "man", "horse", "traffic_light", "dog", "bed", "hot dog"]
PREDICATE_NAMES = ["__background__", "on", "riding", "near", "has", "looking at", "under", "with"]


def random_base(seed: int = 0) -> dict[str, dict[str, float]]:
    """A base by indices that knows half of the class pairs."""
    rng = np.random.default_rng(seed)
    base = {}
    for subject in range(1, CLASSES + 1):
        for object_ in range(1, CLASSES + 1):
            if rng.random() < 0.5:
                chosen = rng.choice(np.arange(1, PREDICATES + 1), int(rng.integers(1, 4)), replace=False)
                base[f"{subject}_{object_}"] = {str(p): float(rng.integers(1, 9)) for p in chosen}
    return base


def make_labels(*quadruples) -> Labels:
    """Labels of (image, (subject, object), predicate, weight)."""
    image, pairs, predicates, weights = zip(*quadruples, strict=True)
    return Labels.ordered(np.array(image), np.array(pairs), np.array(predicates), np.array(weights, dtype=float))


def rows(labels: Labels) -> dict[tuple[int, int, int, int], float]:
    """(image, subject, object, predicate) -> weight."""
    keys = np.column_stack((labels.image, labels.pairs, labels.predicates)).tolist()
    return {tuple(key): weight for key, weight in zip(keys, labels.weights.tolist(), strict=True)}
