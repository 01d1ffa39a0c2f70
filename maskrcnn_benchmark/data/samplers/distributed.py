"""Each process its share of a permutation that depends on seed and epoch only."""

import torch
from torch.utils.data.distributed import DistributedSampler as _DistributedSampler

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
