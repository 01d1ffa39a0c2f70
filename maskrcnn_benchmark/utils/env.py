"""Runs the Python file that `TORCH_DETECTRON_ENV_MODULE` names, once, when this module is imported, as SGB does.

That is the place to register predictors or feature extractors of one's own without touching the package.
"""

from __future__ import annotations

import os

from .errors import InputError
from .imports import import_file

VARIABLE = "TORCH_DETECTRON_ENV_MODULE"


def setup_environment() -> None:
    """Call `setup_environment()` of the file that the environment variable names, where it is set."""
    if custom_module_path := os.environ.get(VARIABLE):
        setup_custom_environment(custom_module_path)


def setup_custom_environment(custom_module_path: str) -> None:
    """Import a file and call its `setup_environment()`.

    Raises:
        InputError: the file is missing or has no such function.
    """
    module = import_file("maskrcnn_benchmark.utils.env.custom_module", custom_module_path)
    if not callable(getattr(module, "setup_environment", None)):
        raise InputError(f"{custom_module_path} must define a function setup_environment(), as {VARIABLE} names it")
    module.setup_environment()


setup_environment()
