"""Data sets, loaders and statistics."""

from .build import get_dataset_statistics, make_data_loader, use_statistics

__all__ = ["get_dataset_statistics", "make_data_loader", "use_statistics"]
