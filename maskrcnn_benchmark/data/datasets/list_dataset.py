"""SGB's path of a data set that the host does not need."""

from maskrcnn_benchmark.sgb_compat import ListDataset  # noqa: F401  (SGB's users find it here)
