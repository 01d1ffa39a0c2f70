"""Bi-level resampling (Li et al., "Bipartite Graph Network with Adaptive Message Passing for Unbiased Scene Graph
Generation", CVPR 2021, section 3.4), as PySGG does it: over the images of a training set, and over their relations.

Shapes: R predicates (background first), N images.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from maskrcnn_benchmark.utils.errors import InputError

KEY = "MODEL.ROI_RELATION_HEAD.DATA_RESAMPLING"
DROPPED = -1  # in the field `relation`: related, but no example of any predicate


def predicate_factors(counts: np.ndarray, threshold: float, generator: np.random.RandomState) -> np.ndarray:
    """How often a predicate wants to be shown: max(1, sqrt(threshold / frequency)), rounded at random, once.

    Args:
        counts: of the predicates in the training set, without background, [R - 1].
        threshold: the frequency below which a predicate is shown more often.

    Returns:
        int64 [R - 1], 1 for a predicate that does not occur
    """
    frequency = counts / max(counts.sum(), 1e-11)
    wanted = np.where(counts > 0, np.sqrt(threshold / np.maximum(frequency, 1e-11)), 1.0).clip(min=1.0)
    whole = wanted.astype(np.int64)
    return whole + (generator.random_sample(len(wanted)) < wanted - whole)


def image_factors(predicates: Sequence[np.ndarray], factors: np.ndarray) -> np.ndarray:
    """How often images are shown: the largest factor of their predicates, 1 without any.

    Args:
        predicates: those of each image, from 1, int [m_i] each.
        factors: of `predicate_factors`, int64 [R - 1].

    Returns:
        int64 [N]
    """
    return np.array([factors[of_image - 1].max(initial=1) for of_image in predicates], dtype=np.int64)


def drop_probabilities(predicates: np.ndarray, image_factor: int, factors: np.ndarray, rate: float) -> np.ndarray:
    """clip((1 - r_predicate / r_image) * rate, 0, 1) of each relation of an image; float [m]."""
    return ((1 - factors[predicates - 1] / image_factor) * rate).clip(0.0, 1.0)


class ResampledDataset(Dataset):
    """A training set that shows images of rare predicates several times, each time without some frequent relations.

    A sample's index, its size and everything else are those of the data set below. Drops are drawn from NumPy's random
    state, which `SeededDataset` sets.

    Args:
        dataset: gives (image, target, index), and has `relationships`, of each image int [m_i, 3]; the last column are
            predicates.
        threshold, rate: see `predicate_factors` and `drop_probabilities`.
        seed: of the rounding of factors.
        dropped: what stands in the field `relation` for a relation that was dropped: `DROPPED`, or 0 for background.
    """

    def __init__(self, dataset, threshold: float, rate: float, seed: int, dropped: int = DROPPED):
        self.dataset, self.rate, self.dropped = dataset, rate, dropped
        predicates = [relations[:, 2] for relations in dataset.relationships]
        counts = np.bincount(np.concatenate(predicates), minlength=len(dataset.ind_to_predicates))[1:]
        self.factors = predicate_factors(counts, threshold, np.random.RandomState(seed % 2**32))
        self.image_factors = image_factors(predicates, self.factors)
        self.place = np.repeat(np.arange(len(predicates)), self.image_factors)

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, index: int):
        place = int(self.place[index])
        image, target, own_index = self.dataset[place]
        relation = target.get_field("relation")
        rows = relation.nonzero(as_tuple=True)
        predicates = relation[rows].numpy()
        drawn = np.random.random_sample(len(predicates))
        lost = drawn < drop_probabilities(predicates, self.image_factors[place], self.factors, self.rate)
        relation[rows] = torch.where(torch.from_numpy(lost), self.dropped, relation[rows])
        return image, target, own_index

    def get_img_info(self, index: int) -> dict:
        return self.dataset.get_img_info(int(self.place[index]))

    def __getattr__(self, name: str):
        if name == "dataset":  # not set yet, while a worker unpickles this object
            raise AttributeError(name)
        return getattr(self.dataset, name)


def resampled(cfg, dataset, seed: int):
    """The training set as DATA_RESAMPLING wants it: itself where that is off.

    Args:
        seed: the same on all processes.

    Raises:
        InputError: an unknown method, factors that cannot be, PySGG's file of factors, or several training sets.
    """
    head = cfg.MODEL.ROI_RELATION_HEAD
    if not (cfg.MODEL.RELATION_ON and head.DATA_RESAMPLING):
        return dataset
    param, method = head.DATA_RESAMPLING_PARAM, head.DATA_RESAMPLING_METHOD
    if method not in ("bilvl", "lvis"):
        raise InputError(f"{KEY}_METHOD is {method!r}; it must be bilvl (images and relations) or lvis (images only)")
    for name in ("REPEAT_FACTOR", "INSTANCE_DROP_RATE"):
        if param[name] < 0:
            raise InputError(f"{KEY}_PARAM.{name} is {param[name]}; it must be 0 or more")
    if param.REPEAT_DICT_DIR:
        raise InputError(
            f"{KEY}_PARAM.REPEAT_DICT_DIR is {param.REPEAT_DICT_DIR}; here factors follow from the training set and "
            "the seed and are not read from a file: leave it empty"
        )
    if len(cfg.DATASETS.TRAIN) != 1:
        raise InputError(f"{KEY} needs one training set to count, but DATASETS.TRAIN is {cfg.DATASETS.TRAIN}")
    result = ResampledDataset(
        dataset,
        param.REPEAT_FACTOR,
        param.INSTANCE_DROP_RATE if method == "bilvl" else 0.0,
        seed,
        dropped=0 if param.DROPPED_AS_BACKGROUND else DROPPED,
    )
    logging.getLogger("maskrcnn_benchmark").info(
        "resampling (%s): %d images stand %d times", method, len(result.image_factors), len(result)
    )
    return result
