"""CLIP's two towers and the phrases of a data set.

RelCLIP, the phrase prior, CLIP's second opinion and the weights of distant labels share them. Importing this adds the
node MODEL.LANGUAGE to the configuration. Like the plugin, it imports from its host only what the original SGB has too,
and goes into an SGB checkout together with it (tools/install_into_sgb.py).
"""

from maskrcnn_benchmark.config import cfg

from .defaults import add_language_config

add_language_config(cfg)
