"""Data sets."""

from .concat_dataset import ConcatDataset
from .visual_genome import VGDataset

__all__ = ["ConcatDataset", "VGDataset"]
