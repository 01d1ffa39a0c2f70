"""How far a number would move with other test images: the bootstrap, which needs no second training.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993: percentile intervals over resamples of the test images.
What the seed of the training moves is another matter, which only several trainings show.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from maskrcnn_benchmark.utils.errors import InputError

from .metrics import RankMetric, Recalls, SubsetRecall, average_all
from .protocol import PROTOCOLS
from .rank_table import PART, Part, parts_of
from .ranks import contains_triplets

RESAMPLES, SEED = 1000, 0
LEVEL = 0.95


def resample_weights(images: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """How often each image is drawn, for `PART` images at a time: float64 [i, resamples].

    Over all parts a column sums to `images`: how many of the draws fall into a part is binomial, given how many are
    left. The same arguments give the same draws, so two runs on the same test set are compared on the same images.
    """
    generator = np.random.default_rng(seed)
    left = np.full(resamples, images)  # draws
    for first in range(0, max(images, 1), PART):
        number = min(PART, images - first)
        last = first + number == images
        draws = left if last else generator.binomial(left, number / (images - first))
        left = left - draws
        cells = generator.integers(0, max(number, 1), draws.sum()) + np.repeat(number * np.arange(resamples), draws)
        counts = np.bincount(cells, minlength=number * resamples).reshape(resamples, number)
        yield np.ascontiguousarray(counts.T, dtype=np.float64)


def resampled(
    metrics: Sequence[RankMetric], parts: Iterable[Part], images: int, resamples: int = RESAMPLES, seed: int = SEED
) -> dict[str, np.ndarray]:
    """The metrics of every resample of the test images.

    Args:
        metrics: of one table.
        parts: of that table, with all images of the test set: all can be drawn, those that do not count too.
        images: how many those are.

    Returns:
        float [resamples] by name.
    """
    weights = (np.insert(drawn, 0, 1.0, axis=1) for drawn in resample_weights(images, resamples, seed))
    found = average_all(metrics, parts, weights)
    return {name: values[1:] for metric in metrics for name, values in metric.values(found).items()}


def interval(values: np.ndarray, level: float = LEVEL) -> list[float] | None:
    """The middle `level` of values [B]: [low, high]; None where there are none. nan does not count.

    >>> interval(np.arange(101.0), level=0.5)
    [25.0, 75.0]
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()


def mean_difference_intervals(
    pairs: Sequence[tuple[str | os.PathLike, str | os.PathLike]], card: Mapping[str, Any], k: int
) -> dict[str, list[float] | None]:
    """What one model has more than another on the same test images, as intervals over resamples of them.

    Args:
        pairs: `ranks.npz` of the one and of the other, for each seed; the differences of the seeds are averaged.
        card: the protocol of them all, as `evaluation.json` has it.
        k: at how many predictions.

    Returns:
        [low, high] of `R`, `mR`, `zR` and `F`; None where there is nothing to count.

    Raises:
        InputError: ranks of different numbers of images.
    """
    differences: dict[str, list[np.ndarray]] = {}
    for ours, theirs in pairs:
        if _images(ours) != _images(theirs):
            raise InputError(f"{ours} and {theirs} are ranks of different test sets")
        one, other = (
            _of_file(os.fspath(path), os.stat(path).st_mtime_ns, card["average"], k) for path in (ours, theirs)
        )
        for name in ("R", "mR", "zR", "F"):
            differences.setdefault(name, []).append(one[name] - other[name])
    return {name: interval(np.mean(found, 0)) for name, found in differences.items()}


def _images(path: str | os.PathLike) -> int:
    with np.load(path) as stored:
        return int(stored["images"])


@lru_cache(maxsize=4096)  # one file is compared with many, for a page and for a table in text; 32 KB each
def _of_file(path: str, modified: int, average: str, k: int) -> dict[str, np.ndarray]:
    """Resamples of the metrics of a `ranks.npz` that was modified at some time, by name without k."""
    with np.load(path) as stored:
        columns = dict(stored)
    zero_shot = partial(contains_triplets, known=np.unique(columns["gt_triplets"][columns["zero_shot"]], axis=0))
    shared: dict[str, Any] = {
        "protocol": PROTOCOLS["sgb"].with_fields(average=average, k=(k,)),
        "num_predicates": int(columns["num_predicates"]),
    }
    metrics = [Recalls(**shared), SubsetRecall({"zR": zero_shot}, **shared)]
    images = int(columns["images"])
    found = resampled(metrics, parts_of(columns, images), images)
    return {name.partition("@")[0]: values for name, values in found.items()}
