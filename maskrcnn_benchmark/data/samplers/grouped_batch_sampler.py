"""Batches of images of one group, such as upright and lying ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import torch
from torch.utils.data.sampler import BatchSampler, Sampler


class GroupedBatchSampler(BatchSampler):
    """Batches whose images share a group, as far as possible in the order of the sampler.

    Args:
        sampler: gives the indices.
        group_ids: group of each index of the data set.
        batch_size: images per batch.
        drop_uneven: leave out the last, smaller batches of the groups.
    """

    def __init__(self, sampler: Sampler, group_ids, batch_size: int, drop_uneven: bool = False):
        super().__init__(sampler, batch_size, drop_uneven)
        self.group_ids = torch.as_tensor(group_ids).tolist()
        self.drop_uneven = drop_uneven

    def _batches(self) -> list[list[int]]:
        """Batches in the order of their first image."""
        groups: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for position, index in enumerate(self.sampler):
            groups[self.group_ids[index]].append((position, index))
        batches = []
        for members in groups.values():
            for start in range(0, len(members), self.batch_size):
                batch = members[start : start + self.batch_size]
                if len(batch) == self.batch_size or not self.drop_uneven:
                    batches.append(batch)
        return [[index for _, index in batch] for batch in sorted(batches)]

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches())

    def __len__(self) -> int:
        return len(self._batches())
