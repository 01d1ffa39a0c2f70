"""SGB's path of a loss that lies with the others that the host does not need."""

from maskrcnn_benchmark.sgb_compat import entropy_loss  # noqa: F401  (SGB's users find it here)
