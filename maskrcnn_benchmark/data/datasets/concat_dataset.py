"""Several data sets in a row."""

import bisect

from torch.utils.data.dataset import ConcatDataset as _ConcatDataset


class ConcatDataset(_ConcatDataset):
    """`torch.utils.data.ConcatDataset` that also gives sizes of images; class names are those of the first data set."""

    def get_idxs(self, idx: int) -> tuple[int, int]:
        """(data set, index in it) of a sample."""
        dataset_idx = bisect.bisect_right(self.cumulative_sizes, idx)
        return dataset_idx, idx - (self.cumulative_sizes[dataset_idx - 1] if dataset_idx else 0)

    def get_img_info(self, idx: int) -> dict:
        dataset_idx, sample_idx = self.get_idxs(idx)
        return self.datasets[dataset_idx].get_img_info(sample_idx)

    @property
    def ind_to_classes(self) -> list[str]:
        return self.datasets[0].ind_to_classes

    @property
    def ind_to_predicates(self) -> list[str]:
        return self.datasets[0].ind_to_predicates
