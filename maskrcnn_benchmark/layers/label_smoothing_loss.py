"""SGB's path of a loss that lies with the others that the host does not need."""

from maskrcnn_benchmark.sgb_compat import Label_Smoothing_Regression  # noqa: F401  (SGB's users find it here)
