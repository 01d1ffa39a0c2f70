"""Which images of a global batch a process has, and the permutation of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data.distributed import DistributedSampler as _DistributedSampler
from torch.utils.data.sampler import BatchSampler

from maskrcnn_benchmark.utils.comm import get_rank, get_world_size


class DistributedSampler(_DistributedSampler):
    """Indices of this process; the last ones are filled up so that all processes have as many.

    Args:
        dataset: anything with a length.
        num_replicas, rank: number of processes and of this one; default: those of the running job, 1 and 0 without one.
        shuffle: permute by (`torch.initial_seed()` at construction, epoch); `set_epoch` says which epoch.
    """

    def __init__(self, dataset, num_replicas: int | None = None, rank: int | None = None, shuffle: bool = True):
        super().__init__(
            dataset,
            num_replicas=get_world_size() if num_replicas is None else num_replicas,
            rank=get_rank() if rank is None else rank,
            shuffle=shuffle,
            seed=torch.initial_seed() % 2**31,
        )


class PartOfBatch(BatchSampler):
    """A process's consecutive part of each global batch, as even as can be.

    Where the last batch of an epoch has fewer images than there are processes, one that is left without any gets the
    batch's first image all the same and keeps step with the others. In training (batches with seeds) it comes as
    ~index, for it does not count; evaluation takes an image once anyway.

    Args:
        batch_sampler: gives global batches, of indices or of (index, seed); the same on all processes.
    """

    def __init__(self, batch_sampler):
        self.batch_sampler = batch_sampler

    def __iter__(self) -> Iterator[list]:
        rank, processes = get_rank(), get_world_size()
        for batch in self.batch_sampler:
            part = batch[len(batch) * rank // processes : len(batch) * (rank + 1) // processes]
            yield part or [_spare(batch[0])]

    def __len__(self) -> int:
        return len(self.batch_sampler)


def _spare(entry):
    return (~entry[0], entry[1]) if isinstance(entry, tuple) else entry
