"""A given number of batches, over as many epochs as that takes."""

from __future__ import annotations

from collections.abc import Iterator

from torch.utils.data.sampler import BatchSampler


class IterationBasedBatchSampler(BatchSampler):
    """Batches `start_iter` to `num_iterations` (without the last) of the endless series of epochs.

    Epochs are counted from the very first iteration, so a resumed run continues with the batches that an undisturbed
    one would have had.
    """

    def __init__(self, batch_sampler, num_iterations: int, start_iter: int = 0):
        self.batch_sampler = batch_sampler
        self.num_iterations = num_iterations
        self.start_iter = start_iter

    def __iter__(self) -> Iterator[list]:
        iteration = epoch = 0
        while iteration < self.num_iterations:
            if hasattr(self.batch_sampler.sampler, "set_epoch"):
                self.batch_sampler.sampler.set_epoch(epoch)
            for batch in self.batch_sampler:
                if iteration >= self.num_iterations:
                    return
                if iteration >= self.start_iter:
                    yield batch
                iteration += 1
            epoch += 1

    def __len__(self) -> int:
        return self.num_iterations
