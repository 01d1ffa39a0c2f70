"""Logging to the screen and to a file in the output folder."""

from __future__ import annotations

import logging
import os
import sys

from maskrcnn_benchmark.sgb_compat import DEBUG_PRINT_ON, debug_print  # noqa: F401  (SGB's users find them here)


def setup_logger(name: str, save_dir: str, distributed_rank: int, filename: str = "log.txt") -> logging.Logger:
    """The logger `name`: rank 0 writes to standard output and, where `save_dir` is given, appends to a file in it."""
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    if distributed_rank > 0:
        logger.addHandler(logging.NullHandler())
        return logger
    form = logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s")
    handlers: list[logging.Handler] = [logging.StreamHandler(stream=sys.stdout)]
    if save_dir:
        os.makedirs(save_dir, exist_ok=True)
        handlers.append(logging.FileHandler(os.path.join(save_dir, filename)))
    for handler in handlers:
        handler.setFormatter(form)
        logger.addHandler(handler)
    return logger
