"""Imports a Python file that a configuration names."""

from __future__ import annotations

import importlib.util
import os
import sys
from types import ModuleType

from .errors import InputError


def import_file(module_name: str, file_path: str, make_importable: bool | None = None) -> ModuleType:
    """The module in `file_path`, named `module_name`; the one that is imported already where it is that file.

    Args:
        make_importable: enter it in `sys.modules`, so that `import module_name` finds it.

    Raises:
        InputError: there is no such Python file.
    """
    imported = sys.modules.get(module_name)
    if imported is not None and _same_file(getattr(imported, "__file__", None), file_path):
        return imported
    spec = importlib.util.spec_from_file_location(module_name, file_path)
    if spec is None or spec.loader is None or not os.path.isfile(file_path):
        raise InputError(f"{file_path!r} is no Python file to import as {module_name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if make_importable:
        sys.modules[module_name] = module
    return module


def _same_file(first: str | None, second: str) -> bool:
    return bool(first) and os.path.realpath(first) == os.path.realpath(second)
