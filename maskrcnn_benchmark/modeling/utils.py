"""Small helpers of the model's parts."""

from maskrcnn_benchmark.structures.boxlist_ops import _cat as cat

__all__ = ["cat"]
