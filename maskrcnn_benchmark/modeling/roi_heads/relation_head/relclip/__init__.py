"""RelCLIP for Scene-Graph-Benchmark.pytorch: importing this registers RelCLIPPredictor and its configuration.

It talks to its host only through names that the original SGB has too, so it also runs inside an SGB checkout
(tools/install_into_sgb.py). The import has to come before a configuration file is merged.
"""

import torch

from maskrcnn_benchmark.config import cfg

from .defaults import add_relclip_config

if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (1, 10):
    raise ImportError(f"RelCLIP needs PyTorch 1.10 or newer; this is {torch.__version__}.")

add_relclip_config(cfg)

from .predictor import RelCLIPPredictor  # noqa: E402  (needs nothing of the node, but hosts do once it is registered)

__all__ = ["RelCLIPPredictor"]
