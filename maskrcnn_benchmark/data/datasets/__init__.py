"""Data sets."""

from .concat_dataset import ConcatDataset
from .list_dataset import ListDataset
from .visual_genome import VGDataset

__all__ = ["ConcatDataset", "ListDataset", "VGDataset"]
