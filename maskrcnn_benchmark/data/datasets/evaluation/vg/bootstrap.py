"""How far a number would move with other test images: the bootstrap, which needs no second training.

Efron and Tibshirani, An Introduction to the Bootstrap, 1993: percentile intervals over resamples of the test images.
What the seed of the training moves is another matter, which only several trainings show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from .metrics import RankMetric, compute_all

RESAMPLES, SEED = 1000, 0
LEVEL = 0.95
_CELLS_AT_A_TIME = 4_000_000  # images times resamples, 32 MB


def resample_weights(images: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """How often each image is drawn, in groups of resamples: float64 [images, b] whose columns sum to `images`.

    The same arguments give the same draws, so two runs on the same test set are compared on the same images.
    """
    generator = np.random.default_rng(seed)
    step = max(1, _CELLS_AT_A_TIME // max(images, 1))
    for start in range(0, resamples, step):
        number = min(step, resamples - start)
        drawn = generator.integers(0, max(images, 1), (number, images)) + images * np.arange(number)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=images * number)
        yield np.ascontiguousarray(counts.reshape(number, images).T, dtype=np.float64)


def resampled(
    metrics: Sequence[RankMetric],
    columns: Mapping[str, np.ndarray],
    images: int,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> dict[str, np.ndarray]:
    """The metrics of every resample of the test images.

    Args:
        metrics: of one table, see `metrics.compute_all`.
        columns: of that table.
        images: of the whole test set; all can be drawn, those that do not count too.

    Returns:
        float [resamples] by name.
    """
    parts = [compute_all(metrics, columns, weights) for weights in resample_weights(images, resamples, seed)]
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def interval(values: np.ndarray, level: float = LEVEL) -> list[float] | None:
    """The middle `level` of values [B]: [low, high]; None where there are none. nan does not count.

    >>> interval(np.arange(101.0), level=0.5)
    [25.0, 75.0]
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    return np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist()
