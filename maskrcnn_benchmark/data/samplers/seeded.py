"""Random choices of a sample that depend on the seed, the iteration and the place in the batch alone."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data.sampler import BatchSampler


class SeededBatchSampler(BatchSampler):
    """Turns each index of a global batch into (index, seed); `batch_sampler` starts at its `start_iter`."""

    def __init__(self, batch_sampler, start_iter: int):
        self.batch_sampler = batch_sampler
        self.start_iter = start_iter
        self.seed = torch.initial_seed()

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for iteration, batch in enumerate(self.batch_sampler, self.start_iter):
            seeds = np.random.SeedSequence([self.seed, iteration, 0]).generate_state(len(batch))
            yield [(index, int(seed)) for index, seed in zip(batch, seeds, strict=True)]

    def __len__(self) -> int:
        return len(self.batch_sampler)


class SeededDataset(Dataset):
    """A data set asked with (index, seed): the sample is drawn under that seed, and the caller's generators stay.

    ~index gives the sample of that index, with ~ of its own index: it does not count (`PartOfBatch`).

    Everything else (class names, image sizes and so on) is the data set's own.
    """

    def __init__(self, dataset):
        self.dataset = dataset

    def __getitem__(self, key: tuple[int, int]):
        index, seed = key
        if index < 0:
            image, target, own_index = self[~index, seed]
            return image, target, ~own_index
        states = random.getstate(), np.random.get_state(), torch.get_rng_state()
        try:
            random.seed(seed)
            np.random.seed(seed)
            torch.default_generator.manual_seed(seed)
            return self.dataset[index]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str):
        if name == "dataset":  # not set yet, while a worker unpickles this object
            raise AttributeError(name)
        return getattr(self.dataset, name)
